"""docs/performance.md and its figure, from the results file of the cost curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FIGURE = "cost-curves.svg"
PAGE = """\
# What it costs

Written by `{command}` from [{name}](../benchmarks/results/{name}): {date}, {cpu}, {threads}
threads, commit {commit}. How fast it is beside others stands in
[RESULTS.md](../benchmarks/RESULTS.md).

Time and memory grow at most in proportion to whatever grows: the length of a document, the corpus,
the vocabulary, the number of labels. The models measured here are small (64 / 128 units, two
layers), so that the shape of the curve is not hidden by the weights.

![Time and peak memory against what grows; the dotted line is proportional growth](figures/{figure})

The exponent p says that the cost grows as n^p at the upper end of a curve: 1 is proportional, 0 is
flat. Memory is what the work adds to a process that has loaded everything.

{table}
"""

INK, TIME, MEMORY, GUIDE = "#22303c", "#2563a8", "#b3541e", "#9aa5b1"


def write_page(results: dict[str, Any], name: str, docs: Path) -> None:
    """Write the page and its figure into a folder of documents."""
    figures = docs / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    draw(results["curves"], figures / FIGURE)
    page = PAGE.format(
        command=results["command"],
        name=name,
        date=results["date"],
        cpu=results["hardware"]["cpu"],
        threads=results["threads"],
        commit=results["commit"],
        figure=FIGURE,
        table=exponents(results["curves"]),
    )
    (docs / "performance.md").write_text(page, "utf-8")


def exponents(curves: list[dict[str, Any]]) -> str:
    """One line a curve."""
    lines = [
        "| work | what grows | from | to | time: p | memory: p | linear or better |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for curve in curves:
        lines.append(
            f"| {curve['work']} | {curve['axis']} | {curve['values'][0]:,} | "
            f"{curve['values'][-1]:,} | {curve['time_exponent']:.2f} | "
            f"{curve['memory_exponent']:.2f} | {'yes' if curve['linear_or_better'] else 'NO'} |"
        )
    return "\n".join(lines)


def draw(curves: list[dict[str, Any]], path: Path) -> None:
    """Small multiples: a column for each curve, time above and memory below."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    style: Any = {
        "font.size": 9,
        "svg.hashsalt": "cost",
        "axes.edgecolor": GUIDE,
        "text.color": INK,
    }
    with plt.rc_context(style):
        figure, grid = plt.subplots(
            2, len(curves), figsize=(2.5 * len(curves), 4.6), squeeze=False, layout="constrained"
        )
        for column, curve in enumerate(curves):
            panel(grid[0][column], curve, "seconds", 1.0, TIME)
            panel(grid[1][column], curve, "bytes", 1e6, MEMORY)
            grid[0][column].set_title(curve["work"], fontsize=9, color=INK)
            grid[1][column].set_xlabel(curve["axis"])
        grid[0][0].set_ylabel("seconds")
        grid[1][0].set_ylabel("MB at the peak")
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def panel(axes: Any, curve: dict[str, Any], key: str, unit: float, colour: str) -> None:
    """One curve in logarithms, with the line of proportional growth through its last point."""
    x = curve["values"]
    y = [max(value / unit, 1e-3) for value in curve[key]]
    axes.loglog(x, [y[-1] * value / x[-1] for value in x], ":", color=GUIDE, linewidth=1.2)
    axes.loglog(x, y, "o-", color=colour, linewidth=1.8, markersize=4)
    axes.set_ylim(min(y) / 4, max(y) * 4)
    axes.grid(True, color=GUIDE, alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, which="both", length=2)
    axes.minorticks_off()
