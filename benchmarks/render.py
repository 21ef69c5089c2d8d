"""From a results file to the table that people read: `python -m benchmarks.render FILE`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

PAGE = """\
# Speed against peers

Written by `{command}` from [{name}](results/{name}).

{date}, {cpu}, {threads} threads, commit {commit}; {load} processes ran before it began. {versions}.
All sides ran in turns, {repeats} rounds; a ratio is of one round, and the median and the range over
the rounds are given. "Bound" is the time of the model's matrix products alone, at their own sizes,
measured in the same rounds: without gates, dropout, optimiser, padding or tokenising.

## Ratios

{ratios}

## Rates

{rates}

## The same answers

{answers}

## What this machine can do

{machine}

## Where our time goes

{operators}
{others}"""

OTHER = """
## Ratios on another machine

{date}, {cpu}, {threads} threads, commit {commit}, from [{name}](results/{name}).

{ratios}
"""


def render(path: Path) -> str:
    """The page for a results file, with the ratios of the newest file of each other processor."""
    results, name = json.loads(path.read_text("utf-8")), path.name
    comparisons = results["comparisons"]
    versions = {k: v for worker in results["versions"].values() for k, v in worker.items()}
    versions.pop("modes", None)
    return PAGE.format(
        command=results["command"],
        name=name,
        date=results["date"],
        cpu=processor(results["hardware"]),
        threads=results["threads"],
        commit=results["commit"],
        load=f"{results['load_before']:.1f}",
        versions=", ".join(f"{key} {value}" for key, value in versions.items()),
        repeats=results["repeats"],
        ratios=ratios_table(comparisons),
        rates=rates_table(comparisons),
        answers="\n".join(f"- {answer_line(answer)}" for answer in results["answers"]),
        machine=machine_tables(results),
        operators="\n\n".join(operators_table(c) for c in comparisons if "operators" in c),
        others="".join(
            other_machine(file) for file in other_files(path.parent, processor(results["hardware"]))
        ),
    )


def processor(hardware: dict[str, Any]) -> str:
    """Its name, which clouds give to several, with what it multiplies by."""
    instructions = hardware.get("instructions", [])
    return f"{hardware['cpu']} ({', '.join(instructions)})" if instructions else hardware["cpu"]


def other_files(folder: Path, own: str) -> list[Path]:
    """The last results file by name of each processor but `own`."""
    newest: dict[str, Path] = {}
    for file in sorted(folder.glob("*.json")):
        results = json.loads(file.read_text("utf-8"))
        if "comparisons" in results:
            newest[processor(results["hardware"])] = file
    return [file for cpu, file in newest.items() if cpu != own]


def other_machine(path: Path) -> str:
    """The ratios of a results file and what they are of."""
    results = json.loads(path.read_text("utf-8"))
    return OTHER.format(
        name=path.name,
        date=results["date"],
        cpu=processor(results["hardware"]),
        threads=results["threads"],
        commit=results["commit"],
        ratios=ratios_table(results["comparisons"]),
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; every column but the first is of numbers unless it is named so."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(summary: dict[str, Any]) -> str:
    """Median and range."""
    low, high = summary["range"]
    return f"{number(summary['median'])} ({number(low)} to {number(high)})"


def ratios_table(comparisons: list[dict[str, Any]]) -> str:
    """Ours over theirs, with the goals."""
    rows = []
    for comparison in comparisons:
        for ratio in comparison["ratios"]:
            goal = "" if ratio["at_least"] is None else f"{ratio['at_least']:g}"
            met = {True: "yes", False: "no"}.get(ratio.get("met"), "")
            rows.append(
                [comparison["name"], ratio["ours"], ratio["peer"], spread(ratio), goal, met]
            )
    return table(["work", "ours", "against", "times as fast", "goal", "met"], rows)


def rates_table(comparisons: list[dict[str, Any]]) -> str:
    """Work per second of every side, and the share of the bound that it reached."""
    rows = []
    for comparison in comparisons:
        shares = comparison.get("share_of_bound", {})
        for name, summary in comparison["sides"].items():
            share = f"{100 * shares[name]['median']:.0f} %" if name in shares else ""
            rows.append([comparison["what"], name, comparison["unit"], spread(summary), share])
        if "bound" in comparison:
            bound = comparison["bound"]
            speed = f"products alone, {number(bound['gflops_per_second'])} GFLOP/s"
            rows.append([comparison["what"], speed, comparison["unit"], spread(bound), "100 %"])
    return table(["work", "side", "unit", "median (range)", "of the products alone"], rows)


def answer_line(answer: dict[str, Any]) -> str:
    """One model size."""
    a, b = answer["lm_losses"]
    return (
        f"{answer['size']}: logits of {answer['documents']} documents differ from fastai's by at "
        f"most {answer['logits_differ_by']:.1e} (they spread by {answer['logits_spread']:.2g}); "
        f"language model losses {a:.5f} and {b:.5f}; {100 * answer['same_ids']:.0f} % of 20 "
        "reviews have the very same ids"
    )


def machine_tables(results: dict[str, Any]) -> str:
    """Matrix products by library, and memory."""
    rows = []
    for measured in results["gemm_gflops"]:
        shape = " x ".join(map(str, measured["shape"]))
        values = {name: value for name, value in measured.items() if name != "shape"}
        rows.append([shape, *(number(value) for value in values.values())])
    heads = [name for name in results["gemm_gflops"][0] if name != "shape"]
    text = table(["GFLOP/s of a product", *heads], rows)
    memory = results["memory_gb_per_second"]
    if memory:
        text += f"\n\nMemory: {memory['read']:.1f} GB/s read, {memory['copy']:.1f} GB/s copied."
    return text


def operators_table(comparison: dict[str, Any]) -> str:
    """The operators of one profile."""
    found = comparison["operators"]
    rows = [
        [row["operator"], f"{100 * row['share']:.1f} %", number(row["milliseconds"]),
         str(row["calls"])]
        for row in found["rows"]
    ]  # fmt: skip
    rate = found["product_rate"]
    said = f" They ran at {100 * rate:.0f} % of the rate of the products alone." if rate else ""
    return (
        f"### {comparison['name']}\n\n"
        f"Matrix products (the fused LSTM counts as one) are {100 * found['product_share']:.0f} % "
        f"of {found['seconds']:.2f} s.{said}\n\n"
        + table(["operator", "share", "ms", "calls"], rows)
    )


def main() -> None:
    """Write the page anew from a results file."""
    parser = argparse.ArgumentParser(description="Render a results file.")
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    (options.file.parent.parent / "RESULTS.md").write_text(render(options.file), "utf-8")


if __name__ == "__main__":
    main()
