"""One shape for every input: a named, typed stream of Arrow record batches, read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import cast

import numpy as np
import pyarrow as pa

from ulmfit.data.sources import shorten
from ulmfit.errors import InputError

BATCH_ROWS = 1024
BATCH_CHARS = 1 << 22  # a batch of long documents ends early: about 4 M characters of text


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written, for what is to be written like it.

    Attributes:
        delimiter: what parts its columns.
        has_mark: whether it starts with a byte order mark, without which Excel takes UTF-8 for an
            older encoding.
    """

    delimiter: str
    has_mark: bool


@dataclass
class Table:
    """A stream of record batches with its schema; use it in a ``with`` block.

    Attributes:
        name: the input as the user called it, for messages.
        schema: names and types of the columns.
        batches: the rows, in the order of the input. They can be read once.
        close_source: closes what the batches come from.
        encoding: the codec of a text file; None where the format settles it.
        has_header: False where the column names are numbers we gave ("1", "2", ...).
        known_text: the text column, where the format itself says which it is.
        known_label: the label column, where the format itself says which it is.
        is_only_header: a text file that ends after its header.
        dialect: of a CSV file; None of all others.
    """

    name: str
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    close_source: Callable[[], None] = _nothing
    encoding: str | None = None
    has_header: bool = True
    known_text: str | None = None
    known_label: str | None = None
    is_only_header: bool = False
    dialect: Dialect | None = None
    _first: pa.RecordBatch | None = field(default=None, repr=False)

    def peek(self) -> pa.RecordBatch | None:
        """The first batch, without taking it off the stream; None when there are no rows."""
        if self._first is None:
            self._first = next(self.batches, None)
            if self._first is not None:
                self.batches = chain([self._first], self.batches)
        return self._first

    def without_rows(self) -> InputError:
        """What to raise where there are no rows and some are needed."""
        if self.is_only_header:
            return only_header(self.name, self.schema.names)
        return InputError(f"{self.name}: has no rows", expected="rows of text")

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return iter(self.batches)

    def close(self) -> None:
        """Close the file behind the table."""
        self.close_source()

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def string_schema(names: Iterable[str]) -> pa.Schema:
    """A schema in which every column is a string."""
    return pa.schema([(name, pa.string()) for name in names])


def only_header(name: str, columns: Sequence[str]) -> InputError:
    """What to raise of a text file whose first line is all there is."""
    return InputError(
        f"{name}: has only a header ({shorten(', '.join(columns))})",
        expected="rows of text below it",
    )


def refuse_twins(name: str, columns: Sequence[str]) -> None:
    """Refuse two columns of one name.

    Raises:
        InputError: names the column.
    """
    column, count = Counter(columns).most_common(1)[0] if columns else ("", 0)
    if count > 1:
        raise InputError(
            f"{name}: {count} columns are called {column!r}",
            expected="every column name once",
            hint="Rename all but one of them in the file.",
        )


def batch_rows(rows: Iterable[Sequence[object]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Gather rows into batches of ``BATCH_ROWS`` rows or about ``BATCH_CHARS`` characters."""
    held: list[Sequence[object]] = []
    chars = 0
    for row in rows:
        held.append(row)
        chars += sum(len(cell) for cell in row if isinstance(cell, str))
        if len(held) == BATCH_ROWS or chars >= BATCH_CHARS:
            yield _to_batch(held, schema)
            held, chars = [], 0
    if held:
        yield _to_batch(held, schema)


def _to_batch(rows: list[Sequence[object]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [to_array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def to_array(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    """An Arrow array; half surrogate pairs, which JSON can hold and UTF-8 cannot, become U+FFFD."""
    if kind == pa.string() and all(isinstance(value, str) for value in values):
        return _string_array(cast(Sequence[str], values))
    try:
        return pa.array(values, type=kind)
    except UnicodeEncodeError:
        whole = [whole_characters(value) if isinstance(value, str) else value for value in values]
        return pa.array(whole, type=kind)


def _string_array(texts: Sequence[str]) -> pa.Array:
    """As ``pa.array``, which would import pandas wherever it is installed: half a second."""
    try:
        encoded = [text.encode() for text in texts]
    except UnicodeEncodeError:
        encoded = [whole_characters(text).encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64).astype(np.int32)
    buffers = pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))
    return pa.StringArray.from_buffers(len(encoded), *buffers)


def whole_characters(text: str) -> str:
    """``text`` with half surrogate pairs replaced by U+FFFD, so that it can be encoded."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def holds_no_text(kind: pa.DataType) -> bool:
    """Whether values of a type are lists, objects or bytes, of which Arrow has several kinds."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_nested(inner) or "binary" in str(inner)
