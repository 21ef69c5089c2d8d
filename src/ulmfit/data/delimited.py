"""CSV and TSV as a stream of rows: every cell a string as it stood, every fault with its line."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from ulmfit.data.sources import STDIN, LineReader, shorten
from ulmfit.data.tables import Table, batch_rows, string_schema
from ulmfit.errors import InputError

_DELIMITERS = {".csv": ",;\t|", ".tsv": "\t", ".tab": "\t"}
_LONGEST_FIELD = 2**31 - 1  # characters; csv's own default of 131,072 is shorter than many a book
_SAMPLE_ROWS = 200
_LONGEST_HEADER_CELL = 64  # characters
# What a header cell is often called; one of these in the first row settles that it is a header.
HEADER_WORDS = frozenset(
    "id idx index text label labels review sentence content document comment body message title "
    "question tweet post abstract description category class target sentiment topic intent rating "
    "stars score date source split lang language author user name url".split()
)


def open_delimited(
    source: str | Path,
    *,
    encoding: str | None = None,
    suffix: str = ".csv",
    wanted: Sequence[str] = (),
    lines: LineReader | None = None,
) -> Table:
    """Open a CSV or TSV file.

    All columns are strings, exactly as in the file (``007`` stays ``007``). Without a header the
    columns are called "1", "2", ... Blank lines are skipped.

    Args:
        source: path or "-"; .gz is unpacked.
        encoding: the codec; None for a byte order mark or UTF-8.
        suffix: ".csv" looks for a comma, semicolon, tab or bar; ".tsv" is always tabs.
        wanted: column names the user gave: when the first row has them all, it is a header.
        lines: the open file, where the caller has it already.

    Raises:
        InputError: empty file, only a header, a column name given twice, a row with another
            number of fields, an unclosed quote, or undecodable bytes.
    """
    reader = lines or LineReader(source, encoding)
    try:
        csv.field_size_limit(_LONGEST_FIELD)
        dialect = _Dialect(reader, _DELIMITERS[suffix], None if lines else source)
        rows = dialect.rows()
        head = [row for _, row in islice(rows, 1)]
        if not head:
            raise InputError(f"{reader.name}: is empty", expected="rows of text")
        names, has_header = _column_names(reader.name, head[0], dialect.sample_rows[1:], wanted)
        first: list[tuple[int, list[str]]] = [] if has_header else [(1, head[0])]
        checked = _same_width(reader.name, chain(first, rows), names)
        schema = string_schema(names)
        table = Table(
            reader.name, schema, batch_rows(checked, schema), reader.close, has_header=has_header
        )
        if table.peek() is None:
            raise InputError(
                f"{reader.name}: has a header ({shorten(', '.join(names))}) but no rows"
            )
    except BaseException:
        reader.close()
        raise
    return table


class _Dialect:
    """Delimiter and quoting of one file, found in its first megabyte."""

    def __init__(self, reader: LineReader, delimiters: str, source: str | Path | None) -> None:
        self.reader = reader
        sample = reader.sample.splitlines(keepends=True)
        self.delimiter, self.sample_rows = _best_delimiter(sample, delimiters)
        self.quoted = True
        if self.delimiter == "\t" and not _tabs_are_quoted(sample, reader, source):
            self.quoted = False
            self.sample_rows = _parse(sample, "\t", quoted=False)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(number of its first line, fields) of each row that is not blank."""
        parser = _csv_reader(self.reader, self.delimiter, self.quoted)
        start = 1
        while True:
            try:
                row = next(parser)
            except StopIteration:
                return
            except csv.Error as error:
                raise _quote_fault(self.reader, start, error) from error
            if row:
                yield start, row
            start = self.reader.line + 1


def _csv_reader(lines: Iterator[str] | LineReader | list[str], delimiter: str, quoted: bool):  # type: ignore[no-untyped-def]
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    return csv.reader(iter(lines), delimiter=delimiter, quoting=quoting, strict=True)


def _parse(sample: list[str], delimiter: str, *, quoted: bool = True) -> list[list[str]]:
    """The first rows of the sample, up to where it is cut or faulty."""
    rows: list[list[str]] = []
    try:
        rows.extend(row for row in islice(_csv_reader(sample, delimiter, quoted), _SAMPLE_ROWS))
    except csv.Error:
        pass
    return [row for row in rows if row]


def _best_delimiter(sample: list[str], delimiters: str) -> tuple[str, list[list[str]]]:
    """The first delimiter that cuts the first rows in equally many fields, more than one."""
    for delimiter in delimiters:
        rows = _parse(sample, delimiter)
        if rows and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1:
            return delimiter, rows
    return delimiters[0], _parse(sample, delimiters[0])


def _tabs_are_quoted(sample: list[str], reader: LineReader, source: str | Path | None) -> bool:
    """Whether quotes in a TSV file enclose fields, or are letters like any other.

    Both kinds are common. They are taken as enclosing when the whole file (of stdin: its
    first megabyte) can be read so, with the same number of fields in each row.
    """
    again = None
    lines: Iterator[str] | LineReader | list[str] = sample
    if source is not None and str(source) != STDIN:
        lines = again = LineReader(source, reader.encoding)
    try:
        return len({len(row) for row in _csv_reader(lines, "\t", True) if row}) == 1
    except csv.Error:
        return False
    finally:
        if again is not None:
            again.close()


def _column_names(
    name: str, first: list[str], later: list[list[str]], wanted: Sequence[str]
) -> tuple[list[str], bool]:
    """Names of the columns, and whether the first row is a header."""
    if not _is_header(first, later, wanted):
        return [str(number) for number in range(1, len(first) + 1)], False
    twice = [column for column, count in Counter(first).items() if count > 1]
    if twice:
        raise InputError(
            f"{name}: the column name {twice[0]!r} occurs {Counter(first)[twice[0]]} times "
            f"in the header",
            expected="every column name once",
            hint="Rename one of them in the first line.",
        )
    return first, True


def _is_header(first: list[str], later: list[list[str]], wanted: Sequence[str]) -> bool:
    cells = [cell.strip() for cell in first]
    if wanted and set(wanted) <= set(first):
        return True
    if any(_header_word(cell) for cell in cells):
        return True
    if any(len(cell) > _LONGEST_HEADER_CELL or _is_number(cell) for cell in cells):
        return False
    # a cell that comes again below it is a value, such as a class, and no name
    return not any(
        cell and cell in {row[place].strip() for row in later if len(row) > place}
        for place, cell in enumerate(cells)
    )


def _header_word(cell: str) -> bool:
    words = cell.casefold().replace("-", "_").split("_")
    return len(words) <= 3 and any(word in HEADER_WORDS for word in words)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _same_width(
    name: str, rows: Iterator[tuple[int, list[str]]], names: list[str]
) -> Iterator[list[str]]:
    for line, row in rows:
        if len(row) != len(names):
            raise InputError(
                f"{name}: line {line} has {len(row)} fields ({shorten(' | '.join(row))})",
                expected=f"{len(names)} as in the first line ({shorten(', '.join(names))})",
                hint=(
                    "A field with the delimiter in it must stand in double quotes, "
                    'and a quote in it must be doubled ("").'
                ),
            )
        yield row


def _quote_fault(reader: LineReader, start: int, error: csv.Error) -> InputError:
    if "unexpected end" in str(error):
        return InputError(
            f"{reader.name}: a quote opened in the row at line {start} is never closed",
            expected='a closing " before the end of the file',
            hint='Close it, or double it ("") if it is part of the text.',
        )
    return InputError(
        f"{reader.name}: a stray quote in the row at line {start} ({error})",
        expected='quotes inside a quoted field to be doubled ("")',
    )
