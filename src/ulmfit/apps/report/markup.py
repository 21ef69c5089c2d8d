"""HTML that is safe by construction: whatever is not markup already is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

# Characters that HTML forbids, and those that would turn the direction of what comes after them.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")
_VOID = frozenset({"br", "meta", "circle", "line", "rect", "path", "polyline", "col"})


class Markup(str):
    """Text that is HTML or SVG already; any other text is escaped before it becomes a part."""

    __slots__ = ()


Part = str | int | Iterable["Part"] | None


def escape(text: object) -> Markup:
    """Any text as it is to be seen, letter by letter; also fit for attributes."""
    if isinstance(text, Markup):
        return text
    shown = _DIRECTION.sub("", _FORBIDDEN.sub("\ufffd", str(text)))
    return Markup(html.escape(shown, quote=True))


def tag(name: str, /, *parts: Part, **attributes: str | float | bool | None) -> Markup:
    """An element with its attributes; None and False leave an attribute out.

    Attributes are written with underscores: `class_`, `aria_label`, `stroke_width`.
    """
    written = "".join(
        f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID and not parts:
        return Markup(
            f"<{name}{written}>" if name in ("br", "meta", "col") else f"<{name}{written}/>"
        )
    return Markup(f"<{name}{written}>{join(parts)}</{name}>")


def join(parts: Iterable[Part]) -> Markup:
    """Parts one after the other."""
    return Markup("".join(_part(part) for part in parts))


def _part(part: Part) -> str:
    if part is None:
        return ""
    if isinstance(part, str | int):
        return escape(part)
    return join(part)


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float | bool | None) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return escape(value)


def excerpt(text: str, length: int) -> str:
    """A text of bounded length: the beginning and the end of a long one, cut between words."""
    if len(text) <= length:
        return text
    tail = length // 4
    # A word longer than this is cut through: there may be no space at all.
    head = re.sub(r"(?<=\s)\S{1,30}$", "", text[: length - tail])
    end = re.sub(r"^\S{1,30}(?=\s)", "", text[-tail:])
    return f"{head.rstrip()} […] {end.lstrip()}"
