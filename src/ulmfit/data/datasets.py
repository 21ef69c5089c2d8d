"""Texts and labels of a whole data set in memory; streams.py has the ones that need not fit."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from ulmfit.data.columns import label_columns, text_columns
from ulmfit.data.folders import Split
from ulmfit.data.labels import Label, LabelReader, joining_mark, several_flag
from ulmfit.data.locations import open_source
from ulmfit.data.python_columns import column_of_labels, column_of_texts
from ulmfit.data.streams import Rows, is_plain_text, iter_texts, names_in, open_rows
from ulmfit.data.tables import Table
from ulmfit.errors import InputError

__all__ = [
    "Dataset",
    "Rows",
    "Split",
    "from_python",
    "iter_texts",
    "load_dataset",
    "open_rows",
    "rows_with_text",
    "sort_classes",
    "training_rows",
]

_WHOLE_NUMBER = re.compile(r"-?\d+")
ALL_DISTINCT_ROWS = 20  # from here on, a label of its own for every row is a mistake


@dataclass(frozen=True)
class Dataset:
    """Texts and, where known, their labels, in the order of the source.

    Attributes:
        texts: one per row; an empty string where the text is missing.
        labels: a class name per row, or with ``multi_label`` a tuple of them; None if unlabelled.
        name: what messages call it.
        multi_label: whether a row can have several labels.
        text_column: the column the texts come from; several joined by commas.
        label_column: the column the labels come from; several joined by commas.
        origin: which row of the source each row was, from 0; None if none was left out.
    """

    texts: list[str]
    labels: list[str] | list[tuple[str, ...]] | None = None
    name: str = "data"
    multi_label: bool = False
    text_column: str | None = None
    label_column: str | None = None
    origin: list[int] | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.texts)

    def source_row(self, row: int) -> int:
        """The number that a row has in the source: counted from 1, a header not counted."""
        return (row if self.origin is None else self.origin[row]) + 1

    @property
    def classes(self) -> list[str]:
        """The class names that occur, sorted; whole numbers by value."""
        return sort_classes(set(_flat(self.labels or [])))

    def subset(self, indices: Iterable[int]) -> Dataset:
        """The rows with these numbers, in this order."""
        rows = [int(index) for index in indices]
        labels = None if self.labels is None else [self.labels[row] for row in rows]
        texts = [self.texts[row] for row in rows]
        origin = rows if self.origin is None else [self.origin[row] for row in rows]
        return replace(self, texts=texts, labels=cast("list[str] | None", labels), origin=origin)


def sort_classes(names: Iterable[str]) -> list[str]:
    """Class names in order: by value where all are whole numbers, else by letter."""
    found = list(names)
    if all(_WHOLE_NUMBER.fullmatch(name) for name in found):
        return sorted(found, key=lambda name: (int(name), name))
    return sorted(found)


def _flat(labels: Iterable[Label]) -> Iterator[str]:
    for label in labels:
        if isinstance(label, str):
            yield label
        else:
            yield from label


def load_dataset(
    source: str | Path,
    *,
    text: str | None = None,
    label: str | None = None,
    split: Split = "train",
    data_dir: Path | None = None,
    require_labels: bool = True,
    encoding: str | None = None,
    label_separator: str | None = None,
) -> Dataset:
    """Read a whole data set into memory, every row of it; ``training_rows`` cleans it.

    Args:
        source: CSV, TSV, JSONL, Parquet or plain text file (also .gz), a folder of class folders, a
            folder or tar archive of a standard distribution, "-" for stdin, or ``name:trec6``.
        text: the text column, or several as "title,body"; guessed if None.
        label: the label column; several 0/1 columns as "toxic,threat" (multi-label); guessed if
            None.
        split: which part of a folder, archive or named set; a single file is what it is.
        data_dir: where named sets are, one folder each.
        require_labels: False if a source without a clear label column will do, or with gaps in
            it: it then has no labels.
        encoding: codec of text files; None for a byte order mark or UTF-8.
        label_separator: parts the labels of a row where they are one string, such as "|".

    Raises:
        InputError: a missing, empty or damaged file, no clear text or label column, a row without
            a label; says which file, row, column and value, and what to do.
    """
    if not require_labels and label is None and is_plain_text(source, data_dir, encoding):
        documents = list(iter_texts(source, data_dir=data_dir, encoding=encoding))
        return Dataset(documents, name=str(source), text_column="text")
    table = open_source(
        source, split=split, data_dir=data_dir, encoding=encoding, wanted=names_in(text, label)
    )
    with Rows(table, ()) as rows:
        if table.peek() is None:
            raise table.without_rows()
        rows.text_columns = text_columns(table, text)
        reader = _label_reader(table, label, rows.text_columns, require_labels, label_separator)
        return _read_all(rows, reader, require_labels or label is not None)


def _label_reader(
    table: Table,
    label: str | None,
    texts: Sequence[str],
    required: bool,
    separator: str | None,
) -> LabelReader | None:
    try:
        columns = label_columns(table, label, texts, by_content=required)
    except InputError:
        if required or label is not None:
            raise
        return None
    return LabelReader(table.name, table.schema, columns, separator)


def _read_all(rows: Rows, reader: LabelReader | None, required: bool) -> Dataset:
    texts: list[str] = []
    labels: list[Label | None] = []
    for batch in rows:
        texts.extend(rows.texts(batch))
        if reader is not None:
            labels.extend(reader.read(batch))
    dataset = Dataset(texts, name=rows.name, text_column=rows.text_column)
    if reader is None or (not required and None in labels):
        return dataset
    column = ",".join(reader.columns)
    kept = _labelled_rows(rows.name, column, texts, labels)
    dataset = replace(
        dataset,
        labels=cast("list[str] | list[tuple[str, ...]]", labels),
        multi_label=reader.multi_label,
        label_column=column,
    )
    return dataset if len(kept) == len(labels) else dataset.subset(kept)


def _labelled_rows(
    name: str, column: str, texts: Sequence[str], labels: Sequence[Label | None]
) -> list[int]:
    """The rows that have a label; the others may only be empty, as at the end of a sheet."""
    kept = [row for row, label in enumerate(labels) if label is not None]
    missing = [
        row
        for row, label in enumerate(labels, start=1)
        if label is None and (texts[row - 1].strip() or not kept)
    ]
    if missing:
        hint = "Take these rows out; texts without a label can be given by `--unlabeled FILE`."
        mark = joining_mark({label for label in labels if isinstance(label, str)})
        if mark:
            hint += f" If a row can have several labels, or none: `{several_flag(mark)}`."
        raise InputError(
            f"{name}: {len(missing)} of {len(labels)} rows have no label in column {column!r} "
            f"(empty, null or NaN), the first is row {missing[0]}",
            expected="a label in every row",
            hint=hint,
        )
    if len(kept) < len(labels):
        warnings.warn(
            f"{name}: {len(labels) - len(kept)} of {len(labels)} rows have neither text nor label "
            "and are left out.",
            stacklevel=2,
        )
    return kept


def training_rows(dataset: Dataset) -> Dataset:
    """The rows of a labelled set that can be trained on: those with text.

    Warns:
        UserWarning: how many rows were left out for having no text.

    Raises:
        InputError: unlabelled, no text at all, only one class, or a class of its own per row.
    """
    # rows drawn out of a set may well have a class each: it was judged as a whole
    drawn = dataset.origin is not None
    dataset = rows_with_text(dataset)
    _require_classes(dataset, drawn=drawn)
    return dataset


def rows_with_text(dataset: Dataset) -> Dataset:
    """The rows of a labelled set that have text, whatever their classes.

    Warns:
        UserWarning: how many rows were left out.

    Raises:
        InputError: unlabelled, or no text at all.
    """
    if dataset.labels is None:
        raise InputError(
            f"{dataset.name}: has no labels", hint="Name the column with `--label COL`."
        )
    full = [row for row, text in enumerate(dataset.texts) if text.strip()]
    if not full:
        raise InputError(
            f"{dataset.name}: all {len(dataset)} texts are empty or blank",
            expected="text to learn from",
            hint="Is the text in another column? Name it with `--text COL`.",
        )
    if len(full) < len(dataset):
        blank = sorted(set(range(len(dataset))) - set(full))
        warnings.warn(
            f"{dataset.name}: {len(blank)} of {len(dataset)} rows have an empty or blank text and "
            f"are left out of training; the first is row {blank[0] + 1}.",
            stacklevel=2,
        )
        dataset = dataset.subset(full)
    return dataset


def _require_classes(dataset: Dataset, *, drawn: bool) -> None:
    labels = cast("list[Label]", dataset.labels)
    column = f" (column {dataset.label_column!r})" if dataset.label_column else ""
    hint = "Name the column with the classes with `--label COL`."
    counts = Counter(_flat(labels))
    if dataset.multi_label:
        if not counts:
            raise InputError(f"{dataset.name}: no row has any label{column}", hint=hint)
        return
    if len(counts) == 1:
        raise InputError(
            f"{dataset.name}: all {len(dataset)} rows have the label "
            f"{next(iter(counts))!r}{column}",
            expected="at least two classes",
            hint=hint,
        )
    if not drawn and len(counts) == len(dataset) >= ALL_DISTINCT_ROWS:
        raise InputError(
            f"{dataset.name}: each of the {len(dataset)} rows has a label of its own{column}",
            expected="classes with several rows each",
            hint=hint,
        )


def from_python(texts: object, labels: object = None, *, name: str = "data") -> Dataset:
    """A Dataset from what Python code holds; no library is imported for it.

    Args:
        texts: strings, as a list, tuple, generator, NumPy array, pandas or polars Series, Arrow
            array or chunked array, or column of ``datasets``.
        labels: as many labels, of the same kinds: strings, numbers or truth values, or a list,
            tuple or set of them per row (multi-label), or a matrix of 0 and 1 (rows x classes).
        name: what messages call the data.

    Raises:
        InputError: one bare string, a missing text or label, a text that is not a string, or
            unequal numbers of both; names the row, counted from 0.
    """
    found = column_of_texts(texts, name)
    if labels is None:
        return Dataset(found, name=name)
    classes, multi_label = column_of_labels(labels, name)
    if len(classes) != len(found):
        raise InputError(
            f"{name}: {len(found)} texts and {len(classes)} labels", expected="as many of both"
        )
    return Dataset(found, classes, name=name, multi_label=multi_label)


def text_digest(texts: Iterable[str]) -> str:
    """SHA-256 of texts in their order, in hex; where one ends counts."""
    found = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()
