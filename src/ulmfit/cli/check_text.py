"""The report of `ulmfit check` for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ulmfit.cli.printing import WIDTH, percent, shorten, table

if TYPE_CHECKING:
    from ulmfit.data.check_report import CheckReport, Finding, PartReport

_MOST_LABELS = 20


def check_text(report: CheckReport) -> str:
    """All of a report: facts in a table, labels, warnings."""
    parts = [report.data] if report.test is None else [report.data, report.test]
    sections = [_heading(parts), _facts(parts)]
    if any(part.labels for part in parts):
        sections.append(_labels(parts))
    sections.append(_warnings(report.warnings))
    return "\n\n".join(sections)


def _heading(parts: Sequence[PartReport]) -> str:
    lines = []
    for part in parts:
        label = f"label in {part.label_column!r}" if part.label_column else "no label column found"
        several = " (several per row)" if part.multi_label else ""
        encoding = f", {part.encoding}" if part.encoding else ""
        lines.append(f"{part.name}: text in {part.text_column!r}, {label}{several}{encoding}")
    return "\n".join(lines)


def _facts(parts: Sequence[PartReport]) -> str:
    rows = [["", "data", "test"][: len(parts) + 1]]
    rows.append(["rows", *(f"{part.rows:,}" for part in parts)])
    rows.append(["empty texts", *(f"{part.empty_rows:,}" for part in parts)])
    if any(part.label_column for part in parts):
        rows.append(["rows without label", *(f"{part.unlabelled_rows:,}" for part in parts)])
    repeats = [part.duplicate_rows + part.near_duplicate_rows for part in parts]
    rows.append(["repeated texts", *(f"{count:,}" for count in repeats)])
    rows.append(
        ["texts under different labels", *(f"{part.conflicting_texts:,}" for part in parts)]
    )
    for name, key in (("median", "median"), ("95 % have at most", "p95"), ("longest", "max")):
        rows.append([f"words per text, {name}", *(f"{part.words[key]:,}" for part in parts)])
    rows.append(["words in all", *(f"{part.words['total']:,}" for part in parts)])
    return table(rows, gap=3)


def _labels(parts: Sequence[PartReport]) -> str:
    names = list(dict.fromkeys(name for part in parts for name in part.labels))
    rows = [["label", *(cell for title in ("data", "test")[: len(parts)] for cell in (title, ""))]]
    for name in names[:_MOST_LABELS]:
        row = [shorten(name, 40)]
        for part in parts:
            count = part.labels.get(name, 0)
            row += [f"{count:,}", percent(count / part.rows)]
        rows.append(row)
    left_out = len(names) - _MOST_LABELS
    more = f"\n... and {left_out} more labels; --json has them all" if left_out > 0 else ""
    return table(rows) + more


def _warnings(findings: Sequence[Finding]) -> str:
    if not findings:
        return "No warnings."
    count = "1 warning" if len(findings) == 1 else f"{len(findings)} warnings"
    refused = sum(finding.refused for finding in findings)
    if refused:
        count += f"; training stops at {'it' if len(findings) == 1 else f'{refused} of them'}"
    return "\n\n".join([count, *(_warning(finding) for finding in findings)])


def _warning(finding: Finding) -> str:
    lines = [
        *_wrapped(f"{finding.part}: {finding.problem}.", "X " if finding.refused else "! "),
        *_wrapped(finding.advice, "  "),
    ]
    for row, excerpt in zip(finding.rows, finding.excerpts, strict=False):
        lines.append(f"    {shorten(f'row {row}: {excerpt}', WIDTH - 4)}")
    if finding.rows and not finding.excerpts:
        lines.append(f"    first rows: {', '.join(map(str, finding.rows))}")
    return "\n".join(lines)


def _wrapped(text: str, mark: str) -> list[str]:
    import textwrap

    return textwrap.wrap(
        text, WIDTH, initial_indent=mark, subsequent_indent="  ", break_long_words=False
    )
