"""What a check warns of, and what it advises."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

import numpy as np

from ulmfit.data.census import Census
from ulmfit.data.check_report import Finding, Overlap, PartReport
from ulmfit.data.datasets import ALL_DISTINCT_ROWS
from ulmfit.data.labels import Label, joining_mark, several_flag
from ulmfit.errors import InputError

MOST_EXAMPLES = 5  # rows per finding
# Thresholds of judgement: where a person who looks at the data would stop and ask.
_FEW_ROWS_PER_CLASS = 10
_IMBALANCE = 10  # times as many rows in the greatest class as in the smallest
_LONG_DOCUMENT = 10_000  # words; about 40 printed pages
_SHORT_MEDIAN = 2  # words
_MANY_CLASSES = 100
_NULL_NAMES = frozenset({"nan", "none", "null", "n/a", "na", "<na>", "undefined", "?", "-"})


def part_findings(
    census: Census, report: PartReport, part: str, unclear: InputError | None = None
) -> Iterator[Finding]:
    """All warnings about one part ("data" or "test") by itself.

    Args:
        census: what was counted.
        report: the same, summed up.
        part: "data" or "test".
        unclear: why no column was taken for the label.
    """
    yield from _text_findings(census, report, part)
    yield from _duplicate_findings(census, report, part)
    if report.label_column is None:
        problem, hint = "no column is clearly the label", "Name it with `--label COL`."
        if unclear is not None:
            problem = unclear.problem.removeprefix(f"{report.name}: ")
            hint = unclear.hint or hint
        yield Finding(
            part,
            problem[0].upper() + problem[1:],
            f"{hint} Without labels this is data for `--unlabeled`.",
        )
        return
    yield from _label_findings(census, report, part)
    if part == "data":
        yield from _balance_findings(report)


def _text_findings(census: Census, report: PartReport, part: str) -> Iterator[Finding]:
    if report.empty_rows:
        yield Finding(
            part,
            f"Empty or blank texts: {report.empty_rows} of {report.rows}",
            "Training leaves them out; prediction gives them a label like any other.",
            _numbers(census.blank()),
            refused=part == "data" and report.empty_rows == report.rows,
        )
    if census.mis_read:
        yield Finding(
            part,
            "Texts that look like UTF-8 read as Windows-1252 ('Ã©'): "
            f"{len(census.mis_read)} of {report.rows}",
            "Export the data again as UTF-8, or repair the texts.",
            _numbers(census.mis_read),
        )
    if census.replaced:
        yield Finding(
            part,
            f"Texts with lost characters (U+FFFD): {len(census.replaced)} of {report.rows}",
            "Export the data again; what was there cannot be told from this file.",
            _numbers(census.replaced),
        )
    long = np.flatnonzero(np.asarray(census.words) > _LONG_DOCUMENT)
    if len(long):
        yield Finding(
            part,
            f"Texts of more than {_LONG_DOCUMENT:,} words: {len(long)} of {report.rows}, "
            f"the longest {report.words['max']:,}",
            "They are read through in windows, so memory is safe, but they take time; "
            "cut them in parts if a part tells the class.",
            _numbers(long),
        )
    if report.words["median"] <= _SHORT_MEDIAN and report.chars["median"] < 20:
        yield Finding(
            part,
            f"Half of the texts have {report.words['median']} words or fewer",
            f"Is {report.text_column!r} the text? Name another column with `--text COL`.",
        )


def _duplicate_findings(census: Census, report: PartReport, part: str) -> Iterator[Finding]:
    copies, near = report.duplicate_rows, report.near_duplicate_rows
    if copies or near:
        yield Finding(
            part,
            f"Rows with the text of an earlier row: {copies + near} of {report.rows} "
            f"({copies} to the letter, {near} but for case, spaces and punctuation)",
            "Keep one of each: a near copy that falls in the validation part makes the model look "
            "better than it is, and copies count more than once.",
            _numbers(census.repeats(census.near)),
        )
    conflicts = census.conflicts()
    if conflicts:
        yield Finding(
            part,
            f"Texts under different labels: {len(conflicts)}",
            "Settle on one label for each, or take them out.",
            _numbers(row for group in conflicts for row in group[:2]),
        )


def _label_findings(census: Census, report: PartReport, part: str) -> Iterator[Finding]:
    # rows with neither text nor label are left out
    unlabelled = np.setdiff1d(census.unlabelled(), census.blank() if report.labels else [])
    if report.unlabelled_rows and len(unlabelled):
        yield Finding(
            part,
            f"Rows without a label in column {report.label_column!r}: "
            f"{len(unlabelled)} of {report.rows}",
            "Take them out; texts without a label can be given by `--unlabeled FILE`.",
            _numbers(unlabelled),
            refused=True,
        )
    mark = None if report.multi_label else joining_mark(report.labels)
    if mark:
        yield Finding(
            part,
            f"Labels that look like several in one: "
            f"{_counted([name for name in report.labels if mark in name], report.labels)}",
            f"If a row can have several labels, or none: `{several_flag(mark)}`.",
        )
    for names in _variants(report.labels):
        yield Finding(
            part,
            f"Labels that differ only in case or spaces: {_counted(names, report.labels)}",
            "If they are one class, give them one name.",
        )
    for name in report.labels:
        if name.strip().casefold() in _NULL_NAMES:
            yield Finding(
                part,
                f"A label that looks like a missing value: {_counted([name], report.labels)}",
                "Take these rows out if they have no label; rename the class if it is one.",
            )


def _balance_findings(report: PartReport) -> Iterator[Finding]:
    counts = report.labels
    if report.multi_label and not counts:
        yield Finding(
            "data",
            f"No row has any label in column {report.label_column!r}",
            "Name the column with the classes with `--label COL`.",
            refused=True,
        )
    if len(counts) == 1 and not report.multi_label:
        yield Finding(
            "data",
            f"All rows have the label {next(iter(counts))!r}",
            "A classifier needs two classes. Name the right column with `--label COL`.",
            refused=True,
        )
    own = len(counts) == report.rows >= ALL_DISTINCT_ROWS and not report.multi_label
    if own or len(counts) > _MANY_CLASSES:
        numeric = all(name.lstrip("-").replace(".", "", 1).isdecimal() for name in counts)
        yield Finding(
            "data",
            f"Different labels: {len(counts)} in {report.rows} rows",
            "They look like numbers to estimate: group them in a few classes."
            if numeric
            else f"Is {report.label_column!r} the label? Name another with `--label COL`.",
            refused=own,
        )
        return
    few = [name for name, count in counts.items() if count < _FEW_ROWS_PER_CLASS]
    if few:
        yield Finding(
            "data",
            f"Classes with fewer than {_FEW_ROWS_PER_CLASS} rows: {_counted(few, counts)}",
            "Label more of them, join them with other classes, or leave them out.",
        )
    if len(counts) > 1 and max(counts.values()) >= _IMBALANCE * min(counts.values()):
        most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        yield Finding(
            "data",
            f"The classes are far from equally frequent: {_counted([most, least], counts)}",
            "Class weights help the rare ones: `--set classifier.class_weights=balanced`. Judge by "
            "macro F1, not accuracy.",
        )


def overlap_findings(
    data: Census, test: Census, reports: tuple[PartReport, PartReport], overlap: Overlap
) -> Iterator[Finding]:
    """Warnings about training and test data beside each other."""
    if overlap.rows:
        yield Finding(
            "test",
            f"Test texts that are in the training data too: {overlap.rows} of {test.rows}"
            + (f", {overlap.other_label} under another label" if overlap.other_label else ""),
            "Take them out of the training data: on them the model is tested on what it has seen.",
            _numbers(shared_rows(data, test)),
        )
    known, tested = reports[0].labels, reports[1].labels
    unknown = sorted(set(tested) - set(known))
    if known and unknown:
        yield Finding(
            "test",
            f"Labels of the test data that the training data lack: {_counted(unknown, tested)}",
            "The model cannot give these. Use the same names in both.",
            refused=True,
        )
    missing = sorted(set(known) - set(tested))
    if tested and missing:
        yield Finding(
            "test",
            f"Classes without a test row: {_counted(missing, known)}",
            "Nothing will be known of how well they are told.",
        )


def shared_rows(data: Census, test: Census) -> list[int]:
    """Test rows with a word whose letters and digits are those of a training text."""
    shared = np.isin(np.asarray(test.near), np.asarray(data.near)) & (np.asarray(test.words) > 0)
    return [int(row) for row in np.flatnonzero(shared)]


def count_overlap(data: Census, test: Census) -> Overlap:
    """How many test rows are in the training data, and with which labels."""
    rows = shared_rows(data, test)
    wanted = {test.near[row] for row in rows}
    names: dict[int, Label] = {number: name for name, number in data.label_names.items()}
    labels: dict[int, set[Label]] = defaultdict(set)
    for row in np.flatnonzero(np.isin(np.asarray(data.near), np.fromiter(wanted, np.uint64))):
        if data.label_ids[row] in names:
            labels[data.near[row]].add(names[data.label_ids[row]])
    tested = {number: name for name, number in test.label_names.items()}
    other = [
        row
        for row in rows
        if test.label_ids[row] in tested
        and labels[test.near[row]]
        and tested[test.label_ids[row]] not in labels[test.near[row]]
    ]
    return Overlap(len(rows), len(other))


def _numbers(rows: Iterable[int]) -> list[int]:
    """The first few row numbers, from 1."""
    return [int(row) + 1 for row, _ in zip(rows, range(MOST_EXAMPLES), strict=False)]


def _counted(names: Collection[str], counts: dict[str, int]) -> str:
    shown = [f"{name!r} ({counts[name]})" for name in list(names)[:MOST_EXAMPLES]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _variants(labels: dict[str, int]) -> list[list[str]]:
    """Groups of labels that are the same but for case and spaces."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in labels:
        groups[" ".join(name.split()).casefold()].append(name)
    return [names for names in groups.values() if len(names) > 1]
