"""Texts and labels that Python code holds: lists, NumPy, pandas, Arrow, ``datasets`` columns.

None of these libraries is imported: columns are known by how they turn themselves into lists.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

from ulmfit.data.labels import canonical_label
from ulmfit.data.sources import shorten
from ulmfit.data.tables import whole_characters
from ulmfit.errors import InputError


def column_of_texts(column: object, name: str) -> list[str]:
    """The texts of any kind of column.

    Raises:
        InputError: a bare string, a table, or a text that is missing or not a string.
    """
    return [_text(name, row, text) for row, text in enumerate(column_values(column, "texts"))]


def column_of_labels(column: object, name: str) -> tuple[list[str] | list[tuple[str, ...]], bool]:
    """The class names of any kind of column, and whether there are several per row.

    Raises:
        InputError: a bare string, a table, a missing label, or single labels mixed with lists.
    """
    values = column_values(column, "labels")
    if getattr(column, "ndim", 1) == 2:
        values = _matrix_rows(name, cast("list[list[object]]", values))
    if any(_is_several(value) for value in values):
        return _label_sets(name, values), True
    return [_label(name, row, value) for row, value in enumerate(values)], False


def column_values(column: object, what: str) -> list[object]:
    """The values of any kind of column as a list.

    Raises:
        InputError: a bare string, a mapping, a table, or not a sequence at all.
    """
    if isinstance(column, str | bytes):
        raise InputError(
            f"{what} is one string ({shorten(column)})",
            expected=f"a list of {what}",
            hint="Put it in a list: [text].",
        )
    if isinstance(column, dict) or hasattr(column, "columns") or hasattr(column, "column_names"):
        raise InputError(
            f"{what} is a {type(column).__name__}",
            expected="one column",
            hint='Take the column out of the table first, such as table["text"].',
        )
    if isinstance(column, set | frozenset):
        raise InputError(f"{what} is a set, which has no order", expected=f"a list of {what}")
    for method in ("to_pylist", "tolist", "to_list"):  # Arrow; NumPy and pandas; polars
        convert = getattr(column, method, None)
        if callable(convert):
            values = convert()
            # an array without dimensions gives its one value
            return values if isinstance(values, list) else column_values(values, what)
    if not isinstance(column, Iterable):
        raise InputError(f"{what} is {shorten(column)}", expected=f"a list of {what}")
    return list(column)


def _text(name: str, row: int, value: object) -> str:
    if isinstance(value, str):
        text = str(value)  # numpy.str_ too becomes a plain str
        return text if _can_be_encoded(text) else whole_characters(text)
    if value is None or (isinstance(value, float) and math.isnan(value)) or _is_pandas_na(value):
        raise InputError(
            f"{name}: the text of row {row} is missing ({value})",
            expected="a string",
            hint='Take the row out, or put "" there.',
        )
    hint = "Decode it first: value.decode()." if isinstance(value, bytes) else None
    if isinstance(value, list | tuple):
        hint = "Join the parts to one string first."
    raise InputError(
        f"{name}: the text of row {row} is {shorten(value)} ({type(value).__name__})",
        expected="a string",
        hint=hint,
    )


def _can_be_encoded(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_pandas_na(value: object) -> bool:
    return type(value).__name__ in ("NAType", "NaTType")


def _is_several(value: object) -> bool:
    return isinstance(value, list | tuple | set | frozenset) or getattr(value, "ndim", 0) > 0


def _label(name: str, row: int, value: object) -> str:
    if hasattr(value, "item"):  # a NumPy number in a plain list
        value = value.item()
    if isinstance(value, bytes):
        raise InputError(
            f"{name}: the label of row {row} is {shorten(value)} (bytes)",
            expected="a string or a number",
            hint="Decode it first: value.decode().",
        )
    label = None if _is_pandas_na(value) else canonical_label(value)
    if label is None:
        raise InputError(
            f"{name}: the label of row {row} is missing ({value!r})",
            expected="a class in every row",
            hint="Take the row out, or pass its text as unlabeled.",
        )
    if not _can_be_encoded(label):  # a saved model could not name its class
        raise InputError(
            f"{name}: the label of row {row} is {shorten(label)}, with half a surrogate pair",
            expected="text that UTF-8 can hold",
        )
    return label


def _label_sets(name: str, values: list[object]) -> list[tuple[str, ...]]:
    sets = []
    for row, value in enumerate(values):
        if not _is_several(value):
            raise InputError(
                f"{name}: the label of row {row} is {shorten(value)}, in other rows it is a list",
                expected="a list of labels in every row, or in none",
            )
        found = {_label(name, row, item) for item in cast(Iterable[object], value)}
        sets.append(tuple(sorted(found)))
    return sets


def _matrix_rows(name: str, matrix: list[list[object]]) -> list[object]:
    """Rows of a 0/1 matrix as the tuples of their column numbers; one column is just labels."""
    if matrix and len(matrix[0]) == 1:
        return [row[0] for row in matrix]
    for number, row in enumerate(matrix):
        if not set(row) <= {0, 1}:
            raise InputError(
                f"{name}: row {number} of the label matrix is {shorten(row)}",
                expected="0 and 1 only, a column per class",
            )
    return [tuple(place for place, held in enumerate(row) if held) for row in matrix]
