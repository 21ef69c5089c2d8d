"""Sources of any size as streams of constant memory: rows for prediction, texts for corpora."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from ulmfit.data.columns import text_columns, text_values
from ulmfit.data.distributions import is_fasttext
from ulmfit.data.folders import Split
from ulmfit.data.formats import PLAIN, plain_documents
from ulmfit.data.locations import locate, open_source
from ulmfit.data.sources import STDIN, display_name, stem_suffix
from ulmfit.data.tables import Table
from ulmfit.errors import InputError

# Values by column.
Where = Mapping[str, Collection[str]]


class Rows:
    """A stream of record batches with every column of the input, for prediction.

    Attributes:
        name: the input as the user called it.
        schema: names and types of the columns.
        dialect: of a CSV file; None of all others.
        text_columns: where the text is; several are joined with field marks.
    """

    def __init__(self, table: Table, columns: tuple[str, ...]) -> None:
        self._table = table
        self.name = table.name
        self.schema = table.schema
        self.dialect = table.dialect
        self.text_columns = columns
        self._given = (0, 0)  # rows before the last batch that was given out, and after it

    @property
    def text_column(self) -> str:
        """The text column; several joined by commas."""
        return ",".join(self.text_columns)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._table:
            before = self._given[1]
            self._given = before, before + batch.num_rows
            yield batch

    def texts(self, batch: pa.RecordBatch) -> list[str]:
        """The texts of one batch; a missing text is an empty string."""
        before = self._given[0]
        columns = [text_values(self.name, batch, column, before) for column in self.text_columns]
        if len(columns) == 1:
            return columns[0]
        from ulmfit.data.tokenizer import join_fields  # loads `tokenizers`, which few rows need

        return [join_fields(fields) for fields in zip(*columns, strict=True)]

    def close(self) -> None:
        """Close the file."""
        self._table.close()

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_rows(
    source: str | Path,
    *,
    text: str | None = None,
    split: Split = "test",
    data_dir: Path | None = None,
    encoding: str | None = None,
) -> Rows:
    """Open a source as a stream that keeps all columns and the order, in constant memory.

    A plain text file gives one row per line, blank lines too. Use it in a ``with`` block.

    Args:
        source: path, "-" for stdin, or ``name:`` and a data set.
        text: the text column, or several as "title,body"; guessed if None.
        split: which part of a folder, archive or named set.
        data_dir: where named sets are.
        encoding: codec of text files; None for a byte order mark or UTF-8.

    Raises:
        InputError: as ``load_dataset``, for what is seen at the start of the source; for later
            rows while they are read.
    """
    table = open_source(
        source, split=split, data_dir=data_dir, encoding=encoding, wanted=names_in(text)
    )
    try:
        return Rows(table, text_columns(table, text))
    except BaseException:
        table.close()
        raise


def count_rows(
    source: str | Path,
    *,
    text: str | None = None,
    split: Split = "test",
    data_dir: Path | None = None,
    encoding: str | None = None,
) -> int:
    """Rows of a source, by reading it once; 0 where it can be read only once, as stdin or a pipe.

    Reading takes a small part of the time of classifying, and finds a broken row before it begins.

    Args:
        source: as for ``open_rows``.
        text: the text column, or several as "title,body"; guessed if None.
        split: which part of a folder, archive or named set.
        data_dir: where named sets are.
        encoding: codec of text files; None for a byte order mark or UTF-8.

    Raises:
        InputError: as ``open_rows``.
    """
    if str(source) == STDIN:
        return 0
    path = locate(source, data_dir)
    if not path.is_file() and not path.is_dir():
        return 0
    with open_rows(source, text=text, split=split, data_dir=data_dir, encoding=encoding) as rows:
        return sum(batch.num_rows for batch in rows)


def iter_texts(
    source: str | Path,
    *,
    text: str | None = None,
    split: Split = "train",
    data_dir: Path | None = None,
    where: Where | None = None,
    encoding: str | None = None,
) -> Iterator[str]:
    """Stream the texts of a source that are not blank, in constant memory and in order.

    Of a plain text file a document is a line, or a block of lines where blank lines set blocks
    apart (see ``plain_documents``).

    Args:
        source: as for ``open_rows``.
        text: the text column, or several as "title,body"; guessed if None.
        split: which part of a folder, archive or named set.
        data_dir: where named sets are.
        where: values by column: only the rows that have one of them, in each of the columns.
        encoding: codec of text files; None for a byte order mark or UTF-8.

    Raises:
        InputError: as ``open_rows``, or when no text was found at all.
    """
    found = False
    for document in _documents(source, text, split, data_dir, where, encoding):
        if document.strip():
            found = True
            yield document
    if not found:
        condition = f" where {_described(where)}" if where else ""
        raise InputError(f"{display_name(source)}: has no text{condition}", expected="text")


def _documents(
    source: str | Path,
    text: str | None,
    split: Split,
    data_dir: Path | None,
    where: Where | None,
    encoding: str | None,
) -> Iterator[str]:
    if not where and is_plain_text(source, data_dir, encoding):
        yield from plain_documents(source, encoding=encoding)
        return
    with open_rows(source, text=text, split=split, data_dir=data_dir, encoding=encoding) as rows:
        for column in where or ():
            if column not in rows.schema.names:
                raise InputError(
                    f"{rows.name}: no column {column!r}",
                    expected=f"one of {', '.join(rows.schema.names)}",
                )
        for batch in rows:
            for column, values in (where or {}).items():
                batch = _having(batch, column, values)
            yield from rows.texts(batch)


def is_plain_text(source: str | Path, data_dir: Path | None, encoding: str | None) -> bool:
    """Whether a source is a text file without labels, whose documents are lines or blocks."""
    if str(source) == STDIN or stem_suffix(source) not in PLAIN:
        return False
    path = locate(source, data_dir)
    return path.is_file() and not is_fasttext(path, encoding)


def _having(batch: pa.RecordBatch, column: str, values: Collection[str]) -> pa.RecordBatch:
    cells = batch.column(batch.schema.get_field_index(column)).to_pylist()
    return batch.filter(pa.array([str(cell) in values for cell in cells], type=pa.bool_()))


def _described(where: Where) -> str:
    """`source is 'a' or 'b'`, for messages."""
    conditions = (
        f"{column} is {' or '.join(map(repr, sorted(values)))}" for column, values in where.items()
    )
    return " and ".join(conditions)


def names_in(*asked: str | None) -> list[str]:
    """The column names in what the user gave for them, "title,body" being two."""
    return [part.strip() for names in asked if names for part in names.split(",")]
