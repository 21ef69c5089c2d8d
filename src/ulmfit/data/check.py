"""Look a data set over before training: counts, lengths, duplicates, overlap, and warnings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ulmfit.data.census import Census, quantiles, take_census
from ulmfit.data.check_report import CheckReport, Finding, Overlap, PartReport
from ulmfit.data.columns import label_columns, text_columns
from ulmfit.data.findings import count_overlap, overlap_findings, part_findings
from ulmfit.data.folders import Split
from ulmfit.data.labels import LabelReader
from ulmfit.data.locations import available_splits, open_source
from ulmfit.data.sources import is_read_once
from ulmfit.data.streams import Rows, names_in
from ulmfit.data.tables import Table
from ulmfit.errors import InputError

__all__ = ["CheckReport", "Finding", "Overlap", "PartReport", "check_dataset"]

_EXCERPT = 80  # characters of a text that are shown


@dataclass(frozen=True)
class _Place:
    """All it takes to open a part; a second time for the excerpts."""

    source: str | Path
    split: Split
    text: str | None
    label: str | None
    data_dir: Path | None
    encoding: str | None
    label_separator: str | None

    def open(self) -> Table:
        return open_source(
            self.source,
            split=self.split,
            data_dir=self.data_dir,
            encoding=self.encoding,
            wanted=names_in(self.text, self.label),
        )


def check_dataset(
    source: str | Path,
    *,
    test: str | Path | None = None,
    text: str | None = None,
    label: str | None = None,
    data_dir: Path | None = None,
    encoding: str | None = None,
    label_separator: str | None = None,
) -> CheckReport:
    """Look a data set over in one pass, with about 40 bytes of memory per row.

    A second pass, up to the last row needed, fetches the excerpts that are shown with the
    warnings; stdin or a pipe, which can be read once, has none.

    Args:
        source: as for ``load_dataset``; of a folder, archive or named set its training split.
        test: the test set; the test split of ``source``, where it has one, if None.
        text: the text column; guessed if None.
        label: the label column; guessed if None, and none if that is not clear.
        data_dir: where named sets are.
        encoding: codec of text files.
        label_separator: parts the labels of a row where they are one string.

    Raises:
        InputError: the data cannot be read, has no rows, or no column is clearly the text.
    """
    if test is None and {"train", "test"} <= set(available_splits(source, data_dir=data_dir)):
        test = source
    place = _Place(source, "train", text, label, data_dir, encoding, label_separator)
    data, census, unclear = _look_over(place)
    findings = _with_excerpts(place, part_findings(census, data, "data", unclear))
    if test is None:
        return CheckReport(data, None, None, findings)
    test_place = replace(place, source=test, split="test")
    test_report, test_census, unclear = _look_over(test_place)
    overlap = count_overlap(census, test_census)
    found = [
        *part_findings(test_census, test_report, "test", unclear),
        *overlap_findings(census, test_census, (data, test_report), overlap),
    ]
    return CheckReport(data, test_report, overlap, findings + _with_excerpts(test_place, found))


def _look_over(place: _Place) -> tuple[PartReport, Census, InputError | None]:
    """The counts, and why no column was taken for the label where none was."""
    unclear = None
    with place.open() as table:
        texts = text_columns(table, place.text)
        labels = None
        try:
            columns = label_columns(table, place.label, texts)
            labels = LabelReader(table.name, table.schema, columns, place.label_separator)
        except InputError as error:
            if place.label is not None:
                raise
            unclear = error
        census = take_census(Rows(table, texts), labels)
        if not census.rows:
            raise table.without_rows()
        return _report(table, texts, labels, census), census, unclear


def _report(
    table: Table, texts: tuple[str, ...], labels: LabelReader | None, census: Census
) -> PartReport:
    exact = len(census.repeats(census.exact))
    return PartReport(
        name=table.name,
        rows=census.rows,
        text_column=",".join(texts),
        label_column=",".join(labels.columns) if labels else None,
        multi_label=labels is not None and labels.multi_label,
        encoding=table.encoding,
        labels=dict(sorted(census.label_counts.items(), key=lambda pair: (-pair[1], pair[0]))),
        unlabelled_rows=len(census.unlabelled()) if labels else 0,
        empty_rows=len(census.blank()),
        words=quantiles(census.words),
        chars=quantiles(census.chars),
        duplicate_rows=exact,
        near_duplicate_rows=len(census.repeats(census.near)) - exact,
        conflicting_texts=len(census.conflicts()),
    )


def _with_excerpts(place: _Place, findings: Iterable[Finding]) -> list[Finding]:
    found = list(findings)
    wanted = {row for finding in found for row in finding.rows}
    if is_read_once(place.source) or not wanted:
        return found
    excerpts = _excerpts(place, wanted)
    return [replace(finding, excerpts=[excerpts[row] for row in finding.rows]) for finding in found]


def _excerpts(place: _Place, wanted: set[int]) -> dict[int, str]:
    """The beginnings of these rows (from 1), white space collapsed."""
    found: dict[int, str] = {}
    row = 0
    with place.open() as table:
        rows = Rows(table, text_columns(table, place.text))
        for batch in rows:
            for text in rows.texts(batch):
                row += 1
                if row in wanted:
                    found[row] = " ".join(text[: 4 * _EXCERPT].split())[:_EXCERPT]
            if row >= max(wanted):
                break
    return found
