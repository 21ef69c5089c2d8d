"""Where each token stands in the original text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ulmfit.data.rules import SPACE

Span = tuple[int, int]

_CASE: Final = frozenset({"xxup", "xxmaj"})
_ROW: Final = frozenset({"xxrep", "xxwrep"})
_ADDED: Final = _CASE | _ROW | {"xxbos", "xxeos", "xxpad"}
_WORD = re.compile(r"\w+")
_SPACE_BEHIND = re.compile(r"(?:\s|<br\s*+/?>)+\Z", re.IGNORECASE)
_BREAK = re.compile(r"\s+|<br\s*+/?>", re.IGNORECASE)

# What composition merges into the character before, where the library leaves it: accents and the
# later parts of Hangul syllables.
_COMPOSED = re.compile(r"[\u0300-\u036f\u1160-\u11ff]+")


def spans_of_tokens(text: str, tokens: Sequence[str], offsets: Sequence[Span]) -> list[Span]:
    """Character spans of all tokens, from the offsets that the Rust tokenizer gives.

    Every visible character belongs to some token: what a rule replaces (`&amp;`,
    `...`, `!!!!`) to the token that stands for it. Marks get the span of what they mark: a case
    mark its word, `xxrep` and `xxwrep` and the count after them the whole row. `xxbos` is (0, 0).

    Args:
        text: the original text.
        tokens: its tokens.
        offsets: (start, end) of each, in characters of `text`.
    """
    spans = _spans_of_text(text, tokens, offsets)
    for i in range(len(tokens) - 2, -1, -1):  # from the right: a row may start with a case mark
        if tokens[i] in _CASE:
            first = _skip_space(tokens, i + 1)
            spans[i] = spans[first][0], _end_of_word(text, tokens, spans, first)
        elif tokens[i] in _ROW and i + 2 < len(tokens):
            start, end = spans[_skip_space(tokens, i + 2)]
            row = (start, end) if tokens[i] == "xxrep" else _row_of_words(text, start, end)
            spans[i] = spans[i + 1] = row
    return spans


def _spans_of_text(text: str, tokens: Sequence[str], offsets: Sequence[Span]) -> list[Span]:
    """Spans from the last white space on; the library places a replacement on its last character.

    Marks and counts are left as they are.
    """
    spans = list(offsets)
    covered = 0
    for i, (token, (start, end)) in enumerate(zip(tokens, offsets, strict=True)):
        if _is_added(tokens, i):
            continue
        if token == SPACE:  # nothing but white space
            place = end if text[start:end].isspace() else start
            spans[i] = place, place
        elif end > covered:
            for gap in _BREAK.finditer(text, covered, end):
                covered = gap.end() if gap.end() < end else covered
            behind = (j for j in range(i + 1, len(tokens)) if not _is_added(tokens, j))
            limit = offsets[j][0] if (j := next(behind, 0)) else len(text)
            if composed := _COMPOSED.match(text, end, limit):
                end = composed.end()
            spans[i] = covered, end
            covered = end
    return spans


def _is_added(tokens: Sequence[str], i: int) -> bool:
    """Whether a token is a mark or the count behind one, and stands for no text of its own."""
    return tokens[i] in _ADDED or (i > 0 and tokens[i - 1] in _ROW)


def _skip_space(tokens: Sequence[str], i: int) -> int:
    return i + 1 if tokens[i] == SPACE and i + 1 < len(tokens) else i


def _end_of_word(text: str, tokens: Sequence[str], spans: Sequence[Span], i: int) -> int:
    """End of the word that starts at token `i`: `do` and `n't` are one, and so are subwords."""
    end = spans[i][1]
    for j in range(i + 1, len(tokens)):
        start, stop = spans[j]
        inside = start == end and start < stop and (text[start].isalnum() or text[start] == "'")
        if tokens[j] in _ADDED or not inside:
            break
        end = stop
    return end


def _row_of_words(text: str, start: int, end: int) -> Span:
    if found := _WORD.match(text, start):
        end = found.end()
    word = text[start:end]
    while True:
        stop = _before_space(text, start)
        first = stop - len(word)
        alone = first == 0 or (first > 0 and _before_space(text, first) < first)
        if stop == start or not alone or text[first:stop] != word:
            return start, end
        start = first


def _before_space(text: str, place: int) -> int:
    """Start of the white space and line breaks in front of a place."""
    while found := _SPACE_BEHIND.search(text, max(0, place - 64), place):
        place = found.start()
    return place
