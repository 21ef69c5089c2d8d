"""Arrow record batches as lines of text: CSV, TSV and JSON lines."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from ulmfit.data.json_lines import JSON_FIELD
from ulmfit.data.tables import Dialect

PROBABILITY_FIELD = {b"ulmfit": b"probability"}  # marks a column of probabilities
_DIGITS = 6  # significant ones of a probability; float32 has 7
_CSV_END, _END = "\r\n", "\n"
_MARK = "\ufeff"  # the byte order mark


class TextForm(Protocol):
    """How a table is written as text."""

    def header(self) -> str:
        """What comes before the first row."""

    def rows(self, batch: pa.RecordBatch) -> str:
        """The lines of one batch."""


class DelimitedForm:
    """CSV or TSV with a header: what was read from such a file comes out as it was.

    A missing value is an empty cell, truth is True or False, and lists and objects are JSON, but
    for the list in ``joined``, whose items are parted by ``separator``.
    """

    def __init__(self, schema: pa.Schema, dialect: Dialect, joined: str, separator: str) -> None:
        self._names = schema.names
        self._dialect = dialect
        self._writers = [
            partial(
                _cell,
                digits=_DIGITS if _is_marked(field, PROBABILITY_FIELD) else None,
                separator=separator if field.name == joined else None,
            )
            for field in schema
        ]

    def header(self) -> str:
        """The names of the columns."""
        return _MARK * self._dialect.has_mark + self._lines([self._names])

    def rows(self, batch: pa.RecordBatch) -> str:
        """The lines of one batch."""
        columns = [
            [write(value) for value in _values(column)]
            for write, column in zip(self._writers, batch.columns, strict=True)
        ]
        return self._lines(zip(*columns, strict=True))

    def _lines(self, rows: Iterable[Iterable[str]]) -> str:
        out = _UnixLines()
        # csv quotes a lone \r or \n in a cell only if the line end has it, in some versions
        csv.writer(out, delimiter=self._dialect.delimiter, lineterminator=_CSV_END).writerows(rows)
        return out.getvalue()


def _cell(value: object, *, digits: int | None, separator: str | None) -> str:
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return repr(value) if digits is None else f"{value:.{digits}g}"
    if isinstance(value, list) and separator is not None:
        return separator.join(map(str, value))
    return _json(_plain(value)) if isinstance(value, list | dict) else str(_plain(value))


class _UnixLines(io.StringIO):
    """Lines that the csv module ends as on Windows, ended as everywhere else."""

    def write(self, line: str) -> int:
        return super().write(line.removesuffix(_CSV_END) + _END)


class JsonLinesForm:
    """One JSON object per row; a missing value is null, as NaN is, which JSON does not have."""

    def __init__(self, schema: pa.Schema) -> None:
        self._names = schema.names
        self._readers = [_json_reader(field) for field in schema]

    def header(self) -> str:
        """Nothing."""
        return ""

    def rows(self, batch: pa.RecordBatch) -> str:
        """The lines of one batch."""
        columns = [
            [read(value) for value in _values(column)]
            for read, column in zip(self._readers, batch.columns, strict=True)
        ]
        rows = zip(*columns, strict=True)
        return "".join(_json(dict(zip(self._names, row, strict=True))) + _END for row in rows)


def _json_reader(field: pa.Field) -> Callable[[object], object]:
    if _is_marked(field, PROBABILITY_FIELD):
        return lambda value: float(f"{value:.{_DIGITS}g}")
    if _is_marked(field, JSON_FIELD):
        return lambda value: json.loads(value) if isinstance(value, str) else None
    return _plain


def _is_marked(field: pa.Field, mark: dict[bytes, bytes]) -> bool:
    return field.metadata is not None and mark.items() <= field.metadata.items()


def _values(column: pa.Array) -> list[object]:
    """The cells as Python values; points and spans of time as text, to the last nanosecond."""
    if pa.types.is_duration(column.type):
        column = pc.cast(column, pa.int64())
    elif pa.types.is_temporal(column.type):
        column = pc.cast(column, pa.string())
    return list(column.to_pylist())


def _plain(value: object) -> object:
    """A value that JSON has: bytes in base 64, NaN as null, and what else there is as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
