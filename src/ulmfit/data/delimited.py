"""CSV and TSV as a stream of rows: every cell a string as it stood, every fault with its line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from ulmfit.data.columns import LABEL_NAMES, TEXT_NAMES
from ulmfit.data.sources import SNIFF_BYTES, STDIN, LineReader, is_read_once, open_lines, shorten
from ulmfit.data.tables import Dialect, Table, batch_rows, only_header, refuse_twins, string_schema
from ulmfit.data.unpacking import LONGEST_LINE
from ulmfit.errors import InputError

# What may part the fields, the likeliest first; the European Excel writes semicolons into .csv.
_DELIMITERS = {".csv": ",;\t|", ".tsv": "\t", ".tab": "\t"}
_SAMPLE_ROWS = 200
_LONGEST_NAME = 64  # characters; a longer cell is no column name
_MOST_NAME_WORDS, _ENDS = 3, (".", "!", "?", "…")  # of a column that is alone; of sentences
# One of these words in a cell of the first row settles that it is a header.
_HEADER_WORDS = frozenset(
    {*TEXT_NAMES, *LABEL_NAMES, "id", "idx", "index", "date", "source", "split", "lang"}
    | {"language", "author", "user", "name", "url"}
)
_NAME = re.compile(r"[\w-]+( [\w-]+)?")  # what a column may be called
_DELIMITER_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?[\r\n]*', re.IGNORECASE)  # Excel's first line

NumberedRow = tuple[int, list[str]]  # the number of its first line, its fields


def open_delimited(
    lines: LineReader, suffix: str, *, wanted: Sequence[str] = (), source: str | Path = STDIN
) -> Table:
    """Read a CSV or TSV file.

    All columns are strings, exactly as in the file (``007`` stays ``007``). Without a header the
    columns are called "1", "2", ..., and so are several columns without a name. Blank lines are
    skipped. In a TSV file quotes enclose fields only if the whole file (of stdin or a pipe: its
    first megabyte) can be read so. A first line ``sep=;``, by which Excel names the delimiter, is
    no row.

    Args:
        lines: the open file; the table closes it.
        suffix: ".csv" looks for a comma, semicolon, tab or bar; ".tsv" is always tabs.
        wanted: column names the user gave: a first row that has them all is a header.
        source: path of the file, where it can be read a second time.

    Raises:
        InputError: empty file, one row that may be a header or a text, a column name given twice,
            a row with another number of fields, a stray or unclosed quote, or undecodable bytes.
    """
    csv.field_size_limit(LONGEST_LINE)  # csv's own limit of 131,072 is shorter than many a book
    delimiter, quoted, sample = _find_dialect(lines, _DELIMITERS[suffix], source)
    rows = _rows(lines, delimiter, quoted)
    head = next(rows, None)
    if head is None:
        raise InputError(f"{lines.name}: is empty", expected="rows of text")
    has_header = _is_header(head[1], sample[1:], wanted)
    names = _names(head[1]) if has_header else [str(place + 1) for place in range(len(head[1]))]
    refuse_twins(lines.name, names)
    checked = _same_width(lines.name, rows if has_header else chain([head], rows), names)
    schema = string_schema(names)
    table = Table(
        lines.name,
        schema,
        batch_rows(checked, schema),
        lines.close,
        lines.encoding,
        has_header,
        dialect=Dialect(delimiter, lines.has_mark) if suffix == ".csv" else None,
    )
    table.is_only_header = table.peek() is None
    if table.is_only_header and not _is_surely_header(names, wanted):
        raise only_header(lines.name, names)
    return table


def looks_delimited(first_line: str, wanted: Sequence[str], known: Iterable[str]) -> str | None:
    """The suffix whose format a line is the header of: it has the wanted or a known name."""
    for suffix, delimiter in ((".tsv", "\t"), (".csv", ","), (".csv", ";")):
        rows = _parse([first_line], delimiter, quoted=True)
        cells = [cell.strip().casefold() for cell in rows[0]] if rows else []
        named = {name.casefold() for name in wanted} <= set(cells) if wanted else False
        usual = set(known) & set(cells) and all(_NAME.fullmatch(cell) for cell in cells)
        if (named or usual) and (len(cells) > 1 or delimiter == ","):
            return suffix
    return None


def _find_dialect(
    lines: LineReader, delimiters: str, source: str | Path
) -> tuple[str, bool, list[list[str]]]:
    """Delimiter, whether quotes enclose fields, and the first rows; takes Excel's line."""
    # split as the reader of the file does, not at every character that ends a line to Unicode
    sample = list(io.StringIO(lines.sample, newline=""))
    named = _DELIMITER_LINE.fullmatch(sample[0]) if sample and len(delimiters) > 1 else None
    if named:
        next(iter(lines))
        return named[1], True, _parse(sample[1:], named[1], quoted=True)
    parsed = {delimiter: _parse(sample, delimiter, quoted=True) for delimiter in delimiters}
    delimiter = max(delimiters, key=lambda delimiter: _fit(parsed[delimiter]))
    rows = parsed[delimiter]
    if delimiter == "\t" and not _tabs_are_quoted(sample, lines, source):
        return delimiter, False, _parse(sample, delimiter, quoted=False)
    return delimiter, True, rows


def _tabs_are_quoted(sample: list[str], lines: LineReader, source: str | Path) -> bool:
    """Whether quotes enclose fields of a TSV file; where they do not, they are letters.

    Both kinds are common. Quotes enclose when the rows, read so, are all equally wide, and when
    that makes no rows out of several lines that are good rows by themselves.
    """
    if is_read_once(source):
        cut = len(lines.head) >= SNIFF_BYTES
        enclosed, plain = (_count_rows(sample, quoted=quoted, cut=cut) for quoted in (True, False))
    else:
        encoding = lines.encoding
        with open_lines(source, encoding) as first, open_lines(source, encoding) as second:
            enclosed, plain = _count_rows(first, quoted=True), _count_rows(second, quoted=False)
    return enclosed is not None and plain in (None, enclosed)


def _count_rows(lines: Iterable[str], *, quoted: bool, cut: bool = False) -> int | None:
    """Number of rows, without one that a cut left open; None where not all are equally wide."""
    count, width = 0, 0
    try:
        for row in _csv_rows(lines, "\t", quoted=quoted):
            width = width or len(row)
            if row and len(row) != width:
                return None
            count += bool(row)
    except csv.Error as error:
        return count if cut and "unexpected end" in str(error) else None
    return count


def _csv_rows(lines: Iterable[str], delimiter: str, *, quoted: bool) -> Iterator[list[str]]:
    rows = iter(lines)
    if quoted:
        return csv.reader(rows, delimiter=delimiter, strict=True)
    return csv.reader(rows, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)


def _parse(sample: list[str], delimiter: str, *, quoted: bool) -> list[list[str]]:
    """The first rows of the sample, up to where it is cut or faulty."""
    rows: list[list[str]] = []
    try:
        for row in islice(_csv_rows(sample, delimiter, quoted=quoted), _SAMPLE_ROWS):
            rows.append(row)
    except csv.Error:
        pass  # the reading proper names the fault
    return [row for row in rows if row]


def _fit(rows: list[list[str]]) -> float:
    """Share of the rows that are as wide as the first; 0 if that has one field only."""
    if not rows or len(rows[0]) == 1:
        return 0.0
    return sum(len(row) == len(rows[0]) for row in rows) / len(rows)


def _rows(lines: LineReader, delimiter: str, quoted: bool) -> Iterator[NumberedRow]:
    parser = _csv_rows(lines, delimiter, quoted=quoted)
    start = lines.line + 1
    try:
        for row in parser:
            if row:
                yield start, row
            start = lines.line + 1
    except csv.Error as error:
        raise _quote_fault(lines.name, start, error) from error


def _is_header(first: list[str], later: list[list[str]], wanted: Sequence[str]) -> bool:
    if wanted and set(wanted) <= set(first):
        return True
    if wanted and all(name.isdecimal() for name in wanted):
        return False
    cells = [cell.strip() for cell in first]
    if _are_numbered(cells):
        return True
    if any(len(cell) > _LONGEST_NAME for cell in cells):
        return False
    # a cell that comes again below itself is a value, such as a class, and no name
    others = [row for row in later if row != first]  # the header again, where files were joined
    for place, cell in enumerate(cells):
        if cell and any(cell == row[place].strip() for row in others if len(row) > place):
            return False
    if any(cell.casefold() in _HEADER_WORDS for cell in cells):
        return True
    if len(cells) == 1 and (len(cells[0].split()) > _MOST_NAME_WORDS or cells[0].endswith(_ENDS)):
        return False  # a sentence alone is a text, which must not be lost
    return not any(_is_number(cell) for cell in cells)


def _names(header: list[str]) -> list[str]:
    """The names of the columns; of those without one, if there are several, their numbers.

    A sheet with a cell in use beyond the table is saved with empty columns at its end.
    """
    if header.count("") < 2:
        return header
    return [name or str(place) for place, name in enumerate(header, start=1)]


def _is_surely_header(names: list[str], wanted: Sequence[str]) -> bool:
    """Whether a file that ends after one row has no text, and not one text that looks like names.

    What is not sure is refused: a text must not be lost.
    """
    if wanted:
        return set(wanted) <= set(names)
    return any(name.strip().casefold() in _HEADER_WORDS for name in names)


def _are_numbered(cells: list[str]) -> bool:
    """Whether these are the names 0, 1, ... that pandas gives, perhaps after its index."""
    names = cells[1:] if cells[0] == "" else cells
    return len(names) > 1 and names == [str(place) for place in range(len(names))]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _same_width(
    name: str, rows: Iterable[NumberedRow], names: Sequence[str]
) -> Iterator[list[str]]:
    for line, row in rows:
        if len(row) != len(names):
            raise InputError(
                f"{name}: the row at line {line} has {len(row)} field{'s' * (len(row) != 1)} "
                f"({shorten(' | '.join(row))})",
                expected=f"{len(names)} as in the first row ({shorten(', '.join(names))})",
                hint=(
                    "A field with the delimiter in it must stand in double quotes, "
                    'and a quote in such a field must be doubled ("").'
                ),
            )
        yield row


def _quote_fault(name: str, start: int, error: csv.Error) -> InputError:
    if "unexpected end" in str(error):
        return InputError(
            f"{name}: a quote opened in the row at line {start} is never closed",
            expected='a closing " before the end of the file',
            hint='Close it, or double it ("") if it is part of the text.',
        )
    return InputError(
        f"{name}: a stray quote in the row at line {start} ({error})",
        expected='a quote inside a quoted field to be doubled ("")',
    )
