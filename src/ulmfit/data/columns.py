"""Which column is the text and which the label, and what the labels are called."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa

from ulmfit.data.json_lines import single_values
from ulmfit.data.labels import canonical_label
from ulmfit.data.sources import nearest
from ulmfit.data.tables import Table, holds_no_text
from ulmfit.errors import InputError

# The likeliest first; the first one alone decides wherever it occurs.
TEXT_NAMES = (
    "text", "review", "sentence", "content", "document", "comment", "body", "message", "tweet",
    "post", "article", "abstract", "description", "question", "utterance", "headline", "title",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "category", "target", "sentiment", "topic", "intent", "rating",
    "stars", "polarity", "tag", "tags", "genre", "score",
)  # fmt: skip
# Columns such as text_id or label_count are about the text or label, not it.
_ABOUT_WORDS = frozenset({"id", "idx", "index", "len", "length", "count", "url", "date", "lang"})
_SAMPLE_ROWS = 1000
_LOOK = 1000  # characters of a text that are looked at
_MOST_CLASSES = 200  # distinct values in the sample; more and it is not taken for a label unasked
_SHARE_OF_CLASSES = 0.5  # distinct values per row; more and it is not taken for a label unasked


def text_columns(table: Table, asked: str | None) -> tuple[str, ...]:
    """The column with the text, as asked for or guessed; several for "title,body".

    Guessed by name, else by content: the only column of strings of several words that differ.

    Raises:
        InputError: no such column (the nearest name is offered), or none or several are likely.
    """
    names: list[str] = table.schema.names
    if asked is not None:
        return _asked(table, asked, "--text")
    if table.known_text is not None:
        return (table.known_text,)
    strings = [name for name in names if _is_text(table.schema.field(name).type)]
    found = _by_name(strings, TEXT_NAMES)
    if not found:
        found = [name for name in strings if _reads_like_text(_sample(table, name))]
    if not found and len(strings) == 1 == len(names):
        found = strings
    if len(found) == 1:
        return (found[0],)
    raise _unclear(table, "text", found)


def label_columns(
    table: Table, asked: str | None, texts: Sequence[str], *, by_content: bool = True
) -> tuple[str, ...]:
    """The column with the label, as asked for or guessed; several 0/1 columns for "toxic,threat".

    Guessed by name, else by content: the only other column with few distinct values.

    Args:
        table: the rows.
        asked: what the user gave.
        texts: the text columns.
        by_content: False to guess by name only.

    Raises:
        InputError: no such column (the nearest name is offered), or none or several are likely.
    """
    if asked is not None:
        return _asked(table, asked, "--label")
    if table.known_label is not None:
        return (table.known_label,)
    rest = [name for name in table.schema.names if name not in texts]
    found = _by_name(rest, LABEL_NAMES)
    if not found and by_content:
        found = [
            name for name in rest if _could_be_classes(_sample(table, name), alone=len(rest) == 1)
        ]
    if len(found) == 1:
        return (found[0],)
    raise _unclear(table, "label", found, switches=_are_switches(table, found))


def _asked(table: Table, asked: str, flag: str) -> tuple[str, ...]:
    names: list[str] = table.schema.names
    if asked in names:
        return (asked,)
    parts = tuple(part.strip() for part in asked.split(","))
    for part in parts:
        if part not in names:
            other = nearest(part, names)
            number = "" if table.has_header else "; it has no header, so columns are numbered"
            raise InputError(
                f"{table.name}: no column {part!r} (given by {flag})",
                expected=f"one of {_listed(names)}{number}",
                hint=f"Did you mean {other!r}?" if other else None,
            )
    return parts


def _are_switches(table: Table, columns: Sequence[str]) -> bool:
    """Whether several columns hold 0 and 1, as one for each label of a multi-label set."""
    values = (canonical_label(value) for name in columns for value in _sample(table, name))
    return len(columns) > 1 and set(values) == {"0", "1"}


def _unclear(
    table: Table, what: str, found: Sequence[str], *, switches: bool = False
) -> InputError:
    why = f"{' and '.join(map(repr, found))} could both be" if len(found) == 2 else None
    why = why or (f"{_listed(found)} could be" if found else "no column is clearly")
    hint = f"Name it with `--{what} COL`."
    if what == "text" and len(found) > 1:
        hint = f"Name it with `--text COL`, or join them: `--text {','.join(found[:2])}`."
    if switches:
        hint += f" If each is a label that a row can have: `--label {','.join(found)}`."
    return InputError(
        f"{table.name}: {why} the {what}",
        expected=f"one of the columns {_listed(table.schema.names)} to be named",
        hint=hint,
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:30]) + (", ..." if len(names) > 30 else "")


def _by_name(columns: Sequence[str], known: Sequence[str]) -> list[str]:
    """The columns whose name is one of ``known``, else has one of them as a word."""
    words = {column: re.split(r"[\W_]+", column.strip().casefold()) for column in columns}
    for column in columns:
        if words[column] == [known[0]]:
            return [column]
    exact = [column for column in columns if len(words[column]) == 1 and words[column][0] in known]
    return exact or [
        column
        for column in columns
        if set(words[column]) & set(known) and not set(words[column]) & _ABOUT_WORDS
    ]


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _sample(table: Table, name: str) -> list[object]:
    batch = table.peek()
    if batch is None:
        return []
    return list(batch.column(batch.schema.get_field_index(name)).slice(0, _SAMPLE_ROWS).to_pylist())


def _reads_like_text(values: Sequence[object]) -> bool:
    """Mostly different strings of three words or more, or of a script without spaces."""
    texts = [value[:_LOOK] for value in values if isinstance(value, str) and value[:_LOOK].strip()]
    if not texts or len(set(texts)) < len(texts) / 2:
        return False
    wordy = sum(len(text.split()) >= 3 or _is_dense_script(text) for text in texts)
    return wordy > len(texts) / 2


def _is_dense_script(text: str) -> bool:
    return len(text) >= 6 and sum(ord(letter) > 0x2E7F for letter in text) > len(text) / 2


def _could_be_classes(values: Sequence[object], *, alone: bool) -> bool:
    """Few distinct values that come again; any, if there is no other column and few rows."""
    known = [label for label in map(canonical_label, map(_hashable, values)) if label is not None]
    if not known or any(isinstance(value, float) and value % 1 for value in values):
        return False
    distinct = len(set(known))
    if distinct > _MOST_CLASSES:
        return False
    return distinct <= _SHARE_OF_CLASSES * len(known) or (alone and len(known) <= 20)


def _hashable(value: object) -> object:
    return ",".join(map(str, value)) if isinstance(value, list) else value


def text_values(table_name: str, batch: pa.RecordBatch, column: str, before: int = 0) -> list[str]:
    """The texts of one column; a missing text is an empty one. ``before``: rows before the batch.

    Raises:
        InputError: the column holds lists, objects or bytes.
    """
    array = batch.column(batch.schema.get_field_index(column))
    if holds_no_text(array.type):
        raise InputError(
            f"{table_name}: column {column!r} holds {array.type}", expected="a column of text"
        )
    values = single_values(table_name, batch, column, before)
    return ["" if value is None else str(value) for value in values]
