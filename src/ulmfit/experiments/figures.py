"""Figures 3 and 4 from results: a colour per method throughout, labels on the lines."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ulmfit.experiments.cells import digest
from ulmfit.experiments.recipes import DATASETS, Experiment, list_experiments
from ulmfit.experiments.results import Result, interval, newest, summarize
from ulmfit.storage import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# One colour per method in every figure; told apart also by the colour-blind (Okabe and Ito 2008).
COLOURS = {
    "from scratch": "#7f7f7f",
    "full": "#d55e00",
    "ULMFiT, supervised": "#e69f00",
    "ULMFiT, semi-supervised": "#0072b2",
    "ULMFiT": "#0072b2",
}
INK, FAINT = "#333333", "#dddddd"
PANEL_WIDTH, HEIGHT, DPI = 4.6, 3.5, 160  # inches, inches, dots per inch
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "path",
    "svg.hashsalt": "ulmfit",
}


@dataclass(frozen=True)
class Line:
    """One method in one panel.

    Attributes:
        name: of the method.
        x: labels or epochs.
        mean: error, in percent.
        low: lower end of the 95 % interval.
        high: its upper end.
    """

    name: str
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


Panels = dict[str, list[Line]]


def write_figures(results: Sequence[Result], folder: Path) -> dict[str, str]:
    """Draw what there are results for, as SVG and PNG.

    Returns:
        Path of each SVG by experiment and scale ("figure3-cpu"), from the folder above `folder`.
    """
    written = {}
    for name, panels in all_panels(results).items():
        for kind in ("svg", "png"):
            atomic_write(folder / f"{name}.{kind}", render(name, panels, kind))
        written[name] = f"{folder.name}/{name}.svg"
    return written


def figure_paths(results: Sequence[Result], folder: str) -> dict[str, str]:
    """What `write_figures` would return, without drawing."""
    return {name: f"{folder}/{name}.svg" for name in all_panels(results)}


def all_panels(results: Sequence[Result]) -> dict[str, Panels]:
    """The lines of every figure that there are results for."""
    found = {}
    experiments = {experiment.name: experiment for experiment in list_experiments()}
    for name, lines_of in (("figure3", low_shot_lines), ("figure4", epoch_lines)):
        for scale in sorted({result.scale for result in results}):
            own = [r for r in results if r.experiment == name and r.scale == scale]
            panels = {
                dataset: lines_of(experiments[name], dataset, own)
                for dataset in experiments[name].datasets
            }
            drawn = {dataset: lines for dataset, lines in panels.items() if lines}
            if drawn:
                found[f"{name}-{scale}"] = drawn
    return found


def low_shot_lines(experiment: Experiment, dataset: str, results: Sequence[Result]) -> list[Line]:
    """Figure 3: error over the number of labels."""
    places = newest(results)
    lines = []
    for variant in experiment.variants:
        points = []
        for (_, where, name, labels, _), found in places.items():
            if where == dataset and name == variant.name:
                summary = summarize(found)
                x = labels if labels is not None else found[0].train_rows
                points.append((float(x), summary.mean, summary.low, summary.high))
        if len(points) > 1:
            lines.append(Line(variant.name, *zip(*sorted(points), strict=True)))
    return lines


def epoch_lines(experiment: Experiment, dataset: str, results: Sequence[Result]) -> list[Line]:
    """Figure 4: validation error after each epoch."""
    places = newest(results)
    lines = []
    for variant in experiment.variants:
        for (_, where, name, labels, _), found in places.items():
            if where == dataset and name == variant.name and labels is None:
                curves = [[e["error"] for e in r.curve if "error" in e] for r in found]
                length = min(map(len, curves))
                if length > 1:
                    epochs = zip(*(curve[:length] for curve in curves), strict=True)
                    points = [interval(errors, found[0].rows) for errors in epochs]
                    parts = [(n, p.mean, p.low, p.high) for n, p in enumerate(points, start=1)]
                    lines.append(Line(variant.name, *zip(*parts, strict=True)))
    return lines


def render(name: str, panels: Panels, kind: str) -> bytes:
    """One figure as SVG or PNG; an SVG says in its description which numbers it shows."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PANEL_WIDTH * len(panels), HEIGHT), layout="constrained")
        FigureCanvasAgg(figure)
        draw: Callable[[Axes, list[Line]], None] = (
            _draw_low_shot if name.startswith("figure3") else _draw_epochs
        )
        _draw_panels(figure, panels, draw)
        buffer = io.BytesIO()
        metadata = {"Date": None, "Description": stamp(panels)} if kind == "svg" else {}
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    return buffer.getvalue()


def stamp(panels: Panels) -> str:
    """Names the numbers in a figure."""
    rounded = {
        dataset: [
            [line.name, *([round(v, 3) for v in part] for part in _numbers(line))] for line in lines
        ]
        for dataset, lines in panels.items()
    }
    return f"numbers {digest(rounded)}"


def _numbers(line: Line) -> tuple[tuple[float, ...], ...]:
    return line.x, line.mean, line.low, line.high


def _draw_panels(figure: Figure, panels: Panels, draw: Callable[[Axes, list[Line]], None]) -> None:
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for place, (ax, (dataset, lines)) in enumerate(zip(axes, panels.items(), strict=True)):
        for line in lines:
            colour = COLOURS[line.name]
            ax.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, linewidth=0)
            ax.plot(line.x, line.mean, color=colour, linewidth=2, marker="o", markersize=3.5)
        ax.set_title(DATASETS[dataset], loc="left", fontweight="bold", fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color=FAINT, linewidth=0.7)
        ax.set_axisbelow(True)
        if place == 0:
            ax.set_ylabel("validation error, %")
        draw(ax, lines)


def _draw_low_shot(ax: Axes, lines: list[Line]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ticks = sorted({x for line in lines for x in line.x})
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(_apart(ticks)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    ax.set_xlabel("labelled documents")
    ax.set_ylim(bottom=0)
    _label_lines(ax, lines, log=True)


def _apart(ticks: list[float]) -> list[float]:
    """Ticks that do not run into one another on a logarithmic axis."""
    kept: list[float] = []
    for tick in ticks:
        if not kept or tick / kept[-1] > 1.6:
            kept.append(tick)
    return kept


def _draw_epochs(ax: Axes, lines: list[Line]) -> None:
    last = int(max(line.x[-1] for line in lines))
    ax.set_xlabel("epoch of classifier fine-tuning")
    ax.set_xticks(range(1, last + 1, max(1, round(last / 7))))
    # Before the first epochs have done anything, errors are so large that all else would look flat;
    # so are the ends of intervals over two or three seeds.
    late = [value for line in lines for value in line.mean[1:]]
    ax.set_ylim(0, max(late) * 1.5)
    _label_lines(ax, lines, log=False)


def _label_lines(ax: Axes, lines: list[Line], *, log: bool) -> None:
    """Names at the right end of the lines, moved apart where they would overlap."""
    bottom, top = ax.get_ylim()
    left, right = min(line.x[0] for line in lines), max(line.x[-1] for line in lines)
    offset = right * (right / left) ** 0.03 if log else right + (right - left) * 0.03
    height = (top - bottom) * 0.06  # of a line of text
    below = -np.inf  # upper edge of the label below
    for line in sorted(lines, key=lambda line: line.mean[-1]):
        label = line.name.replace(", ", ",\n")
        half = height * (1 + label.count("\n")) / 2
        place = max(line.mean[-1], below + half)
        ax.text(offset, place, label, color=COLOURS[line.name], va="center", fontsize=8.5)
        below = place + half
    spread = (right / left) ** 0.42 if log else 0.0
    ax.set_xlim(
        left / (right / left) ** 0.04 if log else left - 0.3,
        right * spread if log else right + (right - left) * 0.3,
    )
