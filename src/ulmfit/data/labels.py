"""What the labels of the rows are called: one string per class, whatever type the file has."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ulmfit.data.json_lines import single_values
from ulmfit.data.sources import shorten
from ulmfit.data.tables import holds_no_text
from ulmfit.errors import InputError

Label = str | tuple[str, ...]
_MARKS = "|;,"  # that may part labels; --multi-label takes the first
_WHOLE_FLOAT = re.compile(r"(-?\d+)\.0+")


def canonical_label(value: object) -> str | None:
    """The name of a class as a string: 1 and 1.0 are "1", True is "True", "pos" stays "pos".

    None for a missing label: None, NaN, a blank string.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else repr(float(value))
    return str(value)


def joining_mark(labels: Collection[str]) -> str | None:
    """What seems to part several labels in one string, as in "billing|urgent"; else None.

    Then the labels are put together of fewer parts than there are labels, and some part is a label
    by itself.
    """
    whole = {label.strip() for label in labels}
    for mark in _MARKS:
        parts = {part.strip() for label in whole for part in label.split(mark)} - {""}
        if len(parts) < len(whole) and parts & whole:
            return mark
    return None


def several_flag(mark: str) -> str:
    """The option that says that this mark parts the labels of a row."""
    return "--multi-label" if mark == _MARKS[0] else f'--label-separator "{mark}"'


@dataclass
class LabelReader:
    """Turns label columns into class names, batch by batch.

    Attributes:
        columns: one label column, or several columns of 0 and 1, each a class of its own.
        separator: what parts the labels of a row in a string column; None for one label per row.
        multi_label: whether a row can have several labels.
    """

    name: str
    schema: pa.Schema
    columns: tuple[str, ...]
    separator: str | None = None

    def __post_init__(self) -> None:
        self._names: dict[str, str] = {}  # so that a class name is held once, not once per row
        self._rows = 0  # read so far
        kinds = [self.schema.field(column).type for column in self.columns]
        for column, kind in zip(self.columns, kinds, strict=True):
            if holds_no_text(kind.value_type if _is_list(kind) else kind):
                raise InputError(
                    f"{self.name}: column {column!r} holds {kind}", expected="labels as text"
                )
        self._lists = _is_list(kinds[0])
        self.multi_label = len(self.columns) > 1 or self._lists or self.separator is not None

    def read(self, batch: pa.RecordBatch) -> list[str | tuple[str, ...] | None]:
        """The label, or the tuple of labels, of each row; None where it is missing."""
        if len(self.columns) > 1:
            return list(self._flags(batch))
        values: list[Any] = single_values(self.name, batch, self.columns[0], self._rows)
        self._rows += len(values)
        if self._lists:
            return [None if value is None else self._several(value) for value in values]
        if self.separator is not None:
            return [self._several(self._parts(value)) for value in values]
        return [self._one(value) for value in values]

    def _one(self, value: object) -> str | None:
        """As ``canonical_label``, and "1.0" in a text file is "1" as it is in a typed one.

        Each label by itself: 1.0 has one name in a file of halves and in a file without.
        """
        label = canonical_label(value)
        if label is None:
            return None
        if label not in self._names:
            whole = _WHOLE_FLOAT.fullmatch(label)
            name = whole[1] if whole else label
            self._names[label] = self._names.setdefault(name, name)
        return self._names[label]

    def _several(self, values: Iterable[object]) -> tuple[str, ...]:
        labels = (self._one(value) for value in values)
        return tuple(sorted({label for label in labels if label is not None}))

    def _parts(self, value: object) -> list[str]:
        text = canonical_label(value) or ""
        return [part.strip() for part in text.split(self.separator)]

    def _flags(self, batch: pa.RecordBatch) -> Iterable[tuple[str, ...]]:
        columns = [
            [self._flag(column, value) for value in values]
            for column in self.columns
            for values in [single_values(self.name, batch, column, self._rows)]
        ]
        self._rows += batch.num_rows
        for row in zip(*columns, strict=True):
            yield tuple(column for column, held in zip(self.columns, row, strict=True) if held)

    def _flag(self, column: str, value: object) -> bool:
        label = canonical_label(value)
        if label in ("0", "0.0", "False", "false", None):
            return False
        if label in ("1", "1.0", "True", "true"):
            return True
        raise InputError(
            f"{self.name}: column {column!r} has {shorten(value)}",
            expected="0 or 1, as several label columns were given",
        )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
