"""Files in the forms of the standard distributions: TREC, Zhang et al. (2015), fastText."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from ulmfit.data.formats import PLAIN, open_file
from ulmfit.data.sources import (
    LineReader,
    display_name,
    is_read_once,
    open_bytes,
    open_lines,
    read_text,
    shorten,
    stem_suffix,
)
from ulmfit.data.tables import Table, batch_rows, string_schema
from ulmfit.errors import InputError

TREC_SUFFIX = ".label"
CLASS_NAMES_FILE = "classes.txt"
_TREC_LINE = re.compile(r"([A-Za-z]+):(\S+)\s+(.*)")
_FASTTEXT_MARK = "__label__"
_LABEL_AND_TEXT = string_schema(["label", "text"])
_MOST_CLASSES = 1000  # a greater whole number in the first column is an id or a year, not a class
_SNIFF_LINES = 100


def open_known_file(
    source: str | Path, *, encoding: str | None = None, wanted: Sequence[str] = ()
) -> Table:
    """Open one file, or stdin, in a plain format or in that of a standard distribution.

    - ``.label`` is TREC: ``COARSE:fine question``, columns text, label (coarse), fine.
    - A CSV file without a header whose first column is a class number is read as those of
      Zhang et al.: columns label, text (``class_index_table``).
    - A text file whose lines start with ``__label__`` is fastText's: columns label, text.
    """
    suffix = stem_suffix(source)
    if suffix == TREC_SUFFIX:
        return open_trec(source, encoding=encoding)
    if suffix in PLAIN and not is_read_once(source) and is_fasttext(source, encoding):
        return open_fasttext(source, encoding=encoding)
    table = open_file(source, encoding=encoding, wanted=wanted)
    if not table.has_header and not wanted and _starts_with_class_index(table):
        return class_index_table(table, class_names(Path(source).resolve().parent))
    return table


def open_trec(source: str | Path, *, encoding: str | None = None) -> Table:
    """Read ``train_5500.label`` or ``TREC_10.label``, by default in UTF-8 or else Latin-1.

    Raises:
        InputError: a line is not of the form ``COARSE:fine question``.
    """
    stream, head = open_bytes(source)
    try:
        codec = encoding or ("utf-8" if _is_utf8(head) else "latin-1")
        lines = LineReader(display_name(source), stream, head, codec)
    except BaseException:
        stream.close()
        raise
    schema = string_schema(["text", "label", "fine"])
    batches = batch_rows(_trec_rows(lines), schema)
    return Table(
        lines.name,
        schema,
        batches,
        lines.close,
        lines.encoding,
        known_text="text",
        known_label="label",
    )


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _trec_rows(lines: LineReader) -> Iterator[tuple[str, str, str]]:
    for line in lines:
        if not line.strip():
            continue
        found = _TREC_LINE.fullmatch(line.strip())
        if found is None:
            raise InputError(
                f"{lines.name}: line {lines.line} is {shorten(line.strip())}",
                expected="COARSE:fine and a question, such as 'NUM:dist How far is it ?'",
            )
        coarse, fine, question = found.groups()
        yield question, coarse, f"{coarse}:{fine}"


def _starts_with_class_index(table: Table) -> bool:
    """Whether the first column holds class numbers and the one to three others hold text."""
    batch = table.peek()
    if batch is None or not 2 <= batch.num_columns <= 4:
        return False
    first, *others = ([cell.strip() for cell in column.to_pylist()] for column in batch.columns)
    if not all(cell.isdecimal() and int(cell) <= _MOST_CLASSES for cell in first):
        return False
    if len(first) > 20 and len(set(first)) > len(first) / 2:
        return False
    return not any(all(cell.isdecimal() for cell in cells) for cells in others)


def class_names(folder: Path) -> dict[str, str]:
    """Names of the class numbers of a folder of Zhang et al., as far as they are known.

    ``classes.txt`` names them in order; the polarity sets have no such file, and their readme says
    that 1 is negative and 2 is positive. Elsewhere the number is the name.
    """
    path = folder / CLASS_NAMES_FILE
    text = read_text(path) if path.is_file() else None
    return numbered_classes(text, folder.name)


def numbered_classes(text: str | None, place: str) -> dict[str, str]:
    """As ``class_names``, from the text of ``classes.txt`` and the name of the folder."""
    if text is not None:
        names = [line.strip() for line in text.splitlines() if line.strip()]
        return {str(number): name for number, name in enumerate(names, start=1)}
    if "polarity" in place:
        return {"1": "negative", "2": "positive"}
    return {}


def class_index_table(table: Table, names: dict[str, str]) -> Table:
    r"""Columns label and text out of a class number and one to three fields of text.

    Title and description are joined by a newline. Sets with one field are Yelp's reviews, where
    newlines and quotes are written ``\n`` and ``\"``: these are put back.
    """

    def rows() -> Iterator[tuple[str, str]]:
        for number, fields in _numbered_rows(table):
            label = names.get(fields[0].strip()) if names else fields[0].strip()
            if label is None:
                raise InputError(
                    f"{table.name}: row {number}: class {shorten(fields[0])}",
                    expected=f"a number from 1 to {len(names)}, as {CLASS_NAMES_FILE} has names",
                )
            if len(fields) == 2:
                yield label, fields[1].replace("\\n", "\n").replace('\\"', '"')
            else:
                yield label, "\n".join(field for field in fields[1:] if field.strip())

    return Table(
        table.name,
        _LABEL_AND_TEXT,
        batch_rows(rows(), _LABEL_AND_TEXT),
        table.close,
        table.encoding,
        known_text="text",
        known_label="label",
    )


def _numbered_rows(table: Table) -> Iterator[tuple[int, tuple[str, ...]]]:
    number = 0
    for batch in table:
        for fields in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            number += 1
            yield number, fields


def is_fasttext(source: str | Path, encoding: str | None = None) -> bool:
    """Whether every line at the start of a text file has a label in fastText's form."""
    with open_lines(source, encoding) as lines:
        full = [line for line in lines.sample.split("\n") if line.strip()][:_SNIFF_LINES]
    return bool(full) and all(line.startswith(_FASTTEXT_MARK) for line in full)


def open_fasttext(source: str | Path, *, encoding: str | None = None) -> Table:
    """Read lines such as ``__label__pos a fine film``; several labels make it multi-label."""
    with open_lines(source, encoding) as again:
        single = all(len(labels) <= 1 for labels, _ in _fasttext_rows(again))
    lines = open_lines(source, encoding)
    label_type = pa.string() if single else pa.list_(pa.string())
    schema = pa.schema([("label", label_type), ("text", pa.string())])
    rows: Iterable[tuple[object, str]] = (
        (next(iter(labels), None) if single else labels, text)
        for labels, text in _fasttext_rows(lines)
    )
    batches = batch_rows(rows, schema)
    return Table(
        lines.name,
        schema,
        batches,
        lines.close,
        lines.encoding,
        known_text="text",
        known_label="label",
    )


def _fasttext_rows(lines: Iterable[str]) -> Iterator[tuple[list[str], str]]:
    for line in lines:
        words = line.split()
        labels = [word for word in words if word.startswith(_FASTTEXT_MARK)]
        if words:
            text = " ".join(word for word in words if not word.startswith(_FASTTEXT_MARK))
            yield [label.removeprefix(_FASTTEXT_MARK) for label in labels], text
