"""Open any single file as a Table: CSV, TSV, JSONL, Parquet, plain text; .gz and stdin alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ulmfit.data.columns import TEXT_NAMES
from ulmfit.data.delimited import looks_delimited, open_delimited
from ulmfit.data.json_lines import open_json_lines
from ulmfit.data.sources import (
    LineReader,
    display_name,
    is_read_once,
    open_lines,
    require_exists,
    stem_suffix,
)
from ulmfit.data.tables import (
    BATCH_CHARS,
    BATCH_ROWS,
    Table,
    batch_rows,
    refuse_twins,
    string_schema,
)
from ulmfit.errors import InputError

DELIMITED = (".csv", ".tsv", ".tab")
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
PLAIN = (".txt", ".text", ".tokens", "")
FORMATS = "CSV (.csv), TSV (.tsv), JSON lines (.jsonl), Parquet (.parquet) or plain text (.txt)"
_READ_BYTES = 1 << 20  # of a Parquet file at a time
_BLANK_SHARE = 0.01  # of the lines; below it a blank line in a text file is an accident


def open_file(
    source: str | Path, *, encoding: str | None = None, wanted: Sequence[str] = ()
) -> Table:
    """Open one file by its suffix, or stdin ("-") or a pipe without one by its content.

    The latter is JSON lines if it starts with ``{``, CSV or TSV if its first line is a header with
    the ``wanted`` or a well-known text column, else plain text.

    Args:
        source: path or "-".
        encoding: codec of text files; None for a byte order mark or UTF-8.
        wanted: column names the user gave, which tell a header from a row.

    Raises:
        InputError: missing or empty file, unknown type, or what its format refuses.
    """
    suffix = stem_suffix(source)
    if suffix in PARQUET:
        return _open_parquet(source)
    if suffix not in (*DELIMITED, *JSON_LINES, *PLAIN):
        raise _unknown_type(source, suffix)
    lines = open_lines(source, encoding)
    try:
        if not suffix and is_read_once(source):
            suffix = _sniff(lines, wanted)
        if suffix in DELIMITED:
            return open_delimited(lines, suffix, wanted=wanted, source=source)
        if suffix in JSON_LINES:
            return open_json_lines(lines, source=source)
        return _open_plain(lines)
    except BaseException:
        lines.close()
        raise


def _unknown_type(source: str | Path, suffix: str) -> InputError:
    path = require_exists(Path(source))
    hints = {
        ".json": "A JSON array becomes JSON lines with `jq -c '.[]' FILE > FILE.jsonl`.",
        ".xlsx": "Save the sheet as CSV (UTF-8).",
        ".xls": "Save the sheet as CSV (UTF-8).",
        ".zip": "Unpack it first.",
    }
    return InputError(
        f"{path}: files of type {suffix} are not read", expected=FORMATS, hint=hints.get(suffix)
    )


def _sniff(lines: LineReader, wanted: Sequence[str]) -> str:
    start = lines.sample.lstrip()
    if start.startswith("{"):
        return ".jsonl"
    first_line = start.split("\n", 1)[0]
    return looks_delimited(first_line, wanted, TEXT_NAMES) or ".txt"


def _open_plain(lines: LineReader) -> Table:
    """One row per line, blank lines too, so that row n is line n."""
    schema = string_schema(["text"])
    rows = ((line.rstrip("\r\n"),) for line in lines)
    batches = batch_rows(rows, schema)
    return Table(lines.name, schema, batches, lines.close, lines.encoding, known_text="text")


def plain_documents(source: str | Path, *, encoding: str | None = None) -> Iterator[str]:
    """Stream the documents of a plain text file.

    A document is a line; or, where blank lines set blocks of lines apart (at least one line in a
    hundred of the first megabyte is blank), a block. Blank documents are left out.
    """
    with open_lines(source, encoding) as lines:
        yield from _blocks(lines) if has_blocks(lines.sample) else _full_lines(lines)


def has_blocks(sample: str) -> bool:
    """Whether blank lines set documents of several lines apart."""
    lines = sample.strip().split("\n")
    blank = sum(not line.strip() for line in lines)
    return blank >= max(1, _BLANK_SHARE * len(lines))


def _full_lines(lines: Iterable[str]) -> Iterator[str]:
    return (line.rstrip("\r\n") for line in lines if line.strip())


def _blocks(lines: Iterable[str]) -> Iterator[str]:
    block: list[str] = []
    for line in lines:
        if line.strip():
            block.append(line.rstrip("\r\n"))
        elif block:
            yield "\n".join(block)
            block = []
    if block:
        yield "\n".join(block)


@contextmanager
def _parquet_faults(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{name}: is not Parquet, or damaged or cut ({str(error).splitlines()[0]})",
            hint="Write it or download it again.",
        ) from error


def _open_parquet(source: str | Path) -> Table:
    name = display_name(source)
    path = require_exists(Path(source))
    if path.is_dir():
        raise InputError(f"{path}: is a folder", expected="a Parquet file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty", expected="rows of text")
    with _parquet_faults(name):
        # else a whole row group is held, which may be the whole file
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ_BYTES)
        refuse_twins(name, file.schema_arrow.names)
    return Table(name, file.schema_arrow, _parquet_batches(file, name), file.close)


def _parquet_batches(file: pq.ParquetFile, name: str) -> Iterator[pa.RecordBatch]:
    """Batches of at most ``BATCH_ROWS`` rows, fewer where the rows are long."""
    total = sum(file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
    row_bytes = total / max(file.metadata.num_rows, 1)
    rows = int(max(1, min(BATCH_ROWS, BATCH_CHARS / max(row_bytes, 1))))
    with _parquet_faults(name):
        for batch in file.iter_batches(batch_size=rows, use_threads=False):
            batch.validate(full=True)  # strings that are not UTF-8 above all
            yield batch
