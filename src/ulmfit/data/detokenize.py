"""Tokens back to text that a person can read: marks are carried out, spaces put where they go."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from ulmfit.data.rules import SPACE, SPECIALS, Kind

_SILENT: Final = frozenset({"xxpad", "xxbos", "xxeos"})
_MARKS: Final = frozenset(SPECIALS) - _SILENT - {"xxunk", "xxfld"}
_SUFFIX: Final = rf"{SPACE}(?:n't|'(?:s|re|ve|ll|d|m))(?!\w)"

# A mark stands between two code points that are no characters, so that no text looks like one.
_REPEATED_CHARACTER = re.compile(
    rf"\ufdd0xxrep\ufdd1{SPACE}?(\d)({SPACE}?)([^{SPACE}\ufdd0][\ufe0f\u0300-\u036f]*)", re.DOTALL
)
_REPEATED_WORD = re.compile(rf"\ufdd0xxwrep\ufdd1{SPACE}?(\d){SPACE}?(\w+)")
_UPPER = re.compile(
    rf"\ufdd0xxup\ufdd1({SPACE}?(?!xxunk)[\w.]+(?:(?!{SPACE}?'s(?!\w))(?:{_SUFFIX}|'\w+))?)"
)
_CAPITAL = re.compile(rf"\ufdd0xxmaj\ufdd1({SPACE}?)(?!xxunk)(\w)")
_UNUSED = re.compile("\ufdd0[a-z]+\ufdd1")

# Only for words, whose spaces are lost: the habits of English punctuation.
_QUOTED = re.compile(rf'"{SPACE}([^"]*){SPACE}"')
_BEFORE = re.compile(rf"{SPACE}(?=[.,!?;:)\]}}%…’”])|(?=(?i:{_SUFFIX})){SPACE}")
_AFTER = re.compile(rf"(?<=[(\[{{$£€#‘“]){SPACE}|(?<=[^{SPACE}]'){SPACE}(?=\w)")
_AROUND = re.compile(rf"{SPACE}([-/_]){SPACE}")


def detokenize(tokens: Iterable[str], kind: Kind) -> str:
    """Readable text from tokens.

    Subwords keep their spaces, so theirs come back; words get them by guess. What the rules
    unify on the way in (entities, dots, counts above nine) stays unified.

    Args:
        tokens: tokens of one text.
        kind: kind of tokenizer that they are from.
    """
    glue = SPACE if kind == "word" else ""
    text = "".join(
        f"\ufdd0{token}\ufdd1" if token in _MARKS else f"{_glue(token, glue)}{token}"
        for token in tokens
        if token not in _SILENT
    )
    text = _REPEATED_CHARACTER.sub(lambda m: m[2] + m[3] * int(m[1]), text)
    text = _UPPER.sub(lambda m: m[1].upper(), text)
    text = _CAPITAL.sub(lambda m: m[1] + m[2].upper(), text)
    text = _REPEATED_WORD.sub(lambda m: f"{SPACE}{m[2]}" * int(m[1]), text)
    text = _UNUSED.sub("", text)
    if kind == "word":
        text = _QUOTED.sub(r'"\1"', text)
        text = _AROUND.sub(r"\1", _AFTER.sub("", _BEFORE.sub("", text)))
    return text.replace(SPACE, " ").strip()


def _glue(token: str, glue: str) -> str:
    return SPACE if token in ("xxunk", "xxfld") else glue
