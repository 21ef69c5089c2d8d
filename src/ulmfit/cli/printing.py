"""Answers on standard output: JSON documents, aligned columns, percentages."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ulmfit.train.metrics import Evaluation
    from ulmfit.train.reliability import CoverageRow, Reliability

WIDTH = 80  # columns of a terminal that is not wider
_MOST_CONFUSED = 10
_MOST_ROWS = 50


def print_json(document: Any) -> None:
    """One JSON document; numbers that are not finite become null, which JSON has."""
    typer.echo(json_text(_finite(document), indent=2))


def json_text(document: Any, *, indent: int | None = None) -> str:
    """JSON that standard output can write: what its encoding does not have is escaped."""
    text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(document, indent=indent, allow_nan=False)
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def percent(share: float) -> str:
    """0.0623 -> '6.2 %'."""
    return f"{100 * share:.1f} %"


def interval(evaluation: Evaluation) -> str:
    """'4.4 to 8.7 %'."""
    low, high = evaluation.error_interval
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def shorten(text: str, width: int) -> str:
    """On one line and at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: max(1, width - 1)]}…"


def table(rows: Sequence[Sequence[str]], *, left: int = 1, gap: int = 2) -> str:
    """Rows in columns: the first `left` ones flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((" " * gap).join(cells).rstrip())
    return "\n".join(lines)


def evaluation_text(evaluation: Evaluation, title: str) -> str:
    """All of an evaluation, for people."""
    wrong = "rows whose labels are not all right" if evaluation.multi_label else "wrong"
    head = [
        ("error", percent(evaluation.error), f"{evaluation.wrong:,} {wrong}"),
        ("", "", f"95 % interval {interval(evaluation)}"),
        ("accuracy", percent(evaluation.accuracy), ""),
        ("macro F1", percent(evaluation.macro_f1), ""),
    ]
    if evaluation.multi_label:
        head.append(("micro F1", percent(evaluation.micro_f1), ""))
    lines = [f"{name:<10}{value:>8}   {more}".rstrip() for name, value, more in head]
    parts = [title, "\n".join(lines), class_table(evaluation)]
    if evaluation.confusion is not None:
        parts.append(confusion_text(evaluation))
    return "\n\n".join(part for part in parts if part)


def reliability_text(found: Reliability, coverage: Sequence[CoverageRow]) -> str:
    """How far the probabilities can be relied on, and what --min-confidence would do."""
    head = [
        ("calibration error (ECE)", percent(found.ece)),
        ("in bins of equally many", percent(found.adaptive_ece)),
        ("log loss", f"{found.nll:.4f}"),
    ]
    rows = [("--min-confidence", "answered", "rows", "wrong", "error")]
    rows += [
        (
            f"{row.min_confidence:g}",
            percent(row.coverage),
            f"{row.rows:,}",
            f"{row.wrong:,}",
            "" if row.error is None else percent(row.error),
        )
        for row in coverage
    ]
    return f"{table(head)}\n\n{table(rows)}"


def class_table(evaluation: Evaluation) -> str:
    """Precision, recall and F1 of the classes, in percent."""
    rows: list[tuple[str, ...]] = [("class", "precision", "recall", "F1", "rows")]
    rows += [
        (
            shorten(score.name, 36),
            *(f"{100 * share:.1f}" for share in (score.precision, score.recall, score.f1)),
            f"{score.support:,}",
        )
        for score in evaluation.classes[:_MOST_ROWS]
    ]
    left_out = len(evaluation.classes) - _MOST_ROWS
    more = f"\n... and {left_out} more classes; --json has them all" if left_out > 0 else ""
    return table(rows) + more


def confusion_text(evaluation: Evaluation) -> str:
    """The confusion matrix where it fits the terminal, else the most frequent confusions."""
    assert evaluation.confusion is not None
    names = [score.name for score in evaluation.classes]
    rows = [["true \\ predicted", *(shorten(name, 12) for name in names)]]
    for name, counts in zip(names, evaluation.confusion, strict=True):
        rows.append([shorten(name, 20), *(f"{count:,}" if count else "." for count in counts)])
    drawn = table(rows)
    if max(map(len, drawn.splitlines())) <= WIDTH:
        return drawn
    return _most_confused(names, evaluation.confusion)


def _most_confused(names: Sequence[str], confusion: Sequence[Sequence[int]]) -> str:
    wrong = sorted(
        (-count, names[i], names[j])
        for i, row in enumerate(confusion)
        for j, count in enumerate(row)
        if i != j and count
    )
    if not wrong:
        return ""
    rows = [("rows", "true", "predicted")]
    rows += [
        (f"{-count:,}", shorten(true, 34), shorten(predicted, 34))
        for count, true, predicted in wrong[:_MOST_CONFUSED]
    ]
    return f"most frequent confusions\n{table(rows, left=3)}"
