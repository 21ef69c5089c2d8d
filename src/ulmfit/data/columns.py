"""Which column is the text and which the label, and what a label is called."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from ulmfit.data.sources import nearest
from ulmfit.data.tables import Table
from ulmfit.errors import InputError

TEXT_NAMES = ("text", "review", "sentence", "content", "document", "comment", "body", "message")
LABEL_NAMES = ("label", "labels", "category", "class", "target", "sentiment")


def text_columns(table: Table, asked: str | None) -> tuple[str, ...]:
    """The text column, as asked for or guessed; several when asked for as "title,body"."""
    names = table.schema.names
    if asked is not None:
        return _asked(table, asked, "--text")
    if table.known_text is not None:
        return (table.known_text,)
    found = [name for name in names if name.strip().casefold() in TEXT_NAMES]
    if len(found) == 1 or len(names) == 1:
        return (found or names)[0],
    raise _unclear(table, "text", "--text", found)


def label_columns(table: Table, asked: str | None, texts: Sequence[str]) -> tuple[str, ...]:
    """The label column, as asked for or guessed."""
    if asked is not None:
        return _asked(table, asked, "--label")
    if table.known_label is not None:
        return (table.known_label,)
    rest = [name for name in table.schema.names if name not in texts]
    found = [name for name in rest if name.strip().casefold() in LABEL_NAMES]
    if len(found) == 1:
        return (found[0],)
    raise _unclear(table, "label", "--label", found)


def _asked(table: Table, asked: str, flag: str) -> tuple[str, ...]:
    names = table.schema.names
    if asked in names:
        return (asked,)
    parts = tuple(part.strip() for part in asked.split(","))
    for part in parts:
        if part not in names:
            other = nearest(part, names)
            raise InputError(
                f"{table.name}: has no column {part!r} ({flag})",
                expected=f"one of: {', '.join(names)}",
                hint=f"Did you mean {other!r}?" if other else None,
            )
    return parts


def _unclear(table: Table, what: str, flag: str, found: Sequence[str]) -> InputError:
    why = f"could be any of: {', '.join(found)}" if found else "is not clear"
    return InputError(
        f"{table.name}: which column is the {what} {why}",
        expected=f"`{flag} COL` with one of: {', '.join(table.schema.names)}",
    )


def label_strings(array: pa.Array) -> list[str | None]:
    """Labels as strings."""
    return [None if value is None else str(value) for value in array.to_pylist()]
