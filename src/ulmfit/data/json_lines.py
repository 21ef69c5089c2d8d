"""JSON lines as a stream of rows, with one type per column however the rows differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa

from ulmfit.data.sources import STDIN, LineReader, is_read_once, open_lines, shorten
from ulmfit.data.tables import BATCH_ROWS, Table, batch_rows, whole_characters
from ulmfit.errors import InputError

# Marks a string column that holds JSON: objects, or values that have no common type.
JSON_FIELD = {b"ulmfit": b"json"}
_ARROW = {
    "null": pa.null(),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "long": pa.int64(),  # beyond the whole numbers that a float can hold
    "float": pa.float64(),
    "string": pa.string(),
}
_SCALARS = {type(None): "null", bool: "bool", float: "float", str: "string"}

Object = dict[str, object]
NumberedObject = tuple[int, Object]  # line, content


def open_json_lines(lines: LineReader, *, source: str | Path = STDIN) -> Table:
    """Read a file with one JSON object per line.

    Numbers, truth values, strings and lists of these keep their type; a column with whole numbers
    and others is float; objects and mixtures are kept as JSON text (``JSON_FIELD``). A key that is
    missing in a row is null there. Blank lines are skipped.

    Args:
        lines: the open file; the table closes it.
        source: path of the file, which is then read twice: once for the types of the columns.
            Stdin or a pipe is read once, and its first 1,024 rows settle the types.

    Raises:
        InputError: empty, not JSON (with line and column), not an object, or on stdin a row
            that does not fit the types.
    """
    rows = _objects(lines)
    head = list(islice(rows, BATCH_ROWS))
    if not head:
        raise InputError(f"{lines.name}: is empty", expected="one JSON object per line")
    if is_read_once(source):
        kinds = _column_kinds(head)
    else:
        with open_lines(source, lines.encoding) as again:
            kinds = _column_kinds(_objects(again))
    if not kinds:
        raise InputError(f"{lines.name}: its objects are all empty", expected="a key with text")
    schema = pa.schema([_field(name, kind) for name, kind in kinds.items()])
    cells = _cells(lines.name, chain(head, rows), kinds)
    return Table(lines.name, schema, batch_rows(cells, schema), lines.close, lines.encoding)


def single_values(name: str, batch: pa.RecordBatch, column: str, before: int = 0) -> list[object]:
    """The cells of one column; of one that is kept as JSON, the values that its text stands for.

    Args:
        name: what messages call the file.
        batch: the rows.
        column: which column.
        before: rows of the file before the batch.

    Raises:
        InputError: a list or object in a column that is kept as JSON; names the row.
    """
    place = batch.schema.get_field_index(column)
    cells = list(batch.column(place).to_pylist())
    if JSON_FIELD.items() <= (batch.schema.field(place).metadata or {}).items():
        cells = [None if cell is None else json.loads(cell) for cell in cells]
        for row, cell in enumerate(cells, start=before + 1):
            if isinstance(cell, list | dict):
                raise InputError(
                    f"{name}: row {row}: column {column!r} has {shorten(json.dumps(cell))}",
                    expected="one string, number or truth value, as in other rows",
                    hint="Change this row, or name another column with `--text` or `--label`.",
                )
    return cells


def _objects(lines: LineReader) -> Iterator[NumberedObject]:
    for line in lines:
        if not line.strip():
            continue
        number = lines.line
        try:
            value = _parsed(line.rstrip("\r\n"))
        except (json.JSONDecodeError, RecursionError) as error:
            raise _not_json(lines.name, number, line, error) from error
        if not isinstance(value, dict):
            raise InputError(
                f"{lines.name}: line {number} is {shorten(line.strip())}",
                expected='a JSON object on each line, such as {"text": "...", "label": "..."}',
                hint=_ARRAY_HINT if isinstance(value, list) else None,
            )
        yield number, value


def _parsed(line: str) -> object:
    value = json.loads(line)
    if "\\ud" in line.lower():  # may be half a surrogate pair, which no UTF-8 file can hold
        value = json.loads(whole_characters(json.dumps(value, ensure_ascii=False)))
    return value


_ARRAY_HINT = "A JSON array becomes JSON lines with `jq -c '.[]' FILE`."


def _not_json(name: str, number: int, line: str, error: Exception) -> InputError:
    where = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
    why = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
    is_array = number == 1 and line.lstrip().startswith("[")
    return InputError(
        f"{name}: line {number}{where} is not JSON ({why}): {shorten(line.strip())}",
        expected="a JSON object on each line",
        hint=_ARRAY_HINT if is_array else None,
    )


def _column_kinds(rows: Iterable[NumberedObject]) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for _, row in rows:
        for name, value in row.items():
            known = kinds.get(name, "null")
            if _SCALARS.get(type(value)) != known or known == "null":
                kinds[name] = _merged(known, _kind(value))
    return kinds


def _kind(value: object) -> str:
    """null, bool, int, long, float, string, "list " and one of these, or json."""
    scalar = _SCALARS.get(type(value))
    if scalar is not None:
        return scalar
    if isinstance(value, int):
        return "int" if abs(value) <= 2**53 else "long" if -(2**63) <= value < 2**63 else "json"
    if isinstance(value, list):
        inner = "null"
        for item in value:
            inner = _merged(inner, _kind(item))
        return f"list {inner}" if inner in _ARROW else "json"
    return "json"


def _merged(one: str, other: str) -> str:
    """The narrowest kind that holds both."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    if {one, other} in ({"int", "float"}, {"int", "long"}):
        return "float" if "float" in (one, other) else "long"
    if one.startswith("list ") and other.startswith("list "):
        inner = _merged(one.removeprefix("list "), other.removeprefix("list "))
        return f"list {inner}" if inner in _ARROW else "json"
    return "json"


def _field(name: str, kind: str) -> pa.Field:
    if kind == "json":
        return pa.field(name, pa.string(), metadata=JSON_FIELD)
    if kind.startswith("list "):
        return pa.field(name, pa.list_(_ARROW[kind.removeprefix("list ")]))
    return pa.field(name, _ARROW[kind])


def _cells(
    name: str, rows: Iterable[NumberedObject], kinds: dict[str, str]
) -> Iterator[list[object]]:
    fit = {column: _fitter(kind) for column, kind in kinds.items()}
    for line, row in rows:
        for column, value in row.items():
            kind = kinds.get(column)
            if kind is None or _merged(kind, _kind(value)) != kind:
                raise InputError(
                    f"{name}: line {line}: column {column!r} has {shorten(value)}",
                    expected=f"{kind or 'no such column'}, as in the first {BATCH_ROWS} rows",
                    hint="Give it as a file: then all rows are looked at before the first is used.",
                )
        yield [fit[column](row.get(column)) for column in kinds]


def _fitter(kind: str) -> Callable[[object], object]:
    if kind == "json":
        return lambda value: None if value is None else json.dumps(value, ensure_ascii=False)
    if kind == "float":
        return lambda value: None if value is None else float(value)  # type: ignore[arg-type]
    return lambda value: value
