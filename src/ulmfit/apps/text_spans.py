"""From tokens to stretches of the text: disjoint, in order, none of them without characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Offsets = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Span:
    """A stretch of the text and its share in the score.

    Attributes:
        start: its first character.
        end: the character behind its last one.
        attribution: what it adds to the score of the label; below 0 it speaks against it.
    """

    start: int
    end: int
    attribution: float


def spread(offsets: Offsets, values: NDArray[np.float64], length: int) -> tuple[Span, ...]:
    """Put the values of tokens on the characters they stand for; the sum stays what it was.

    Tokens may stand for the same characters, as `xxmaj` and `the` for "The": their values are
    added. Where one stands for several others, as `xxmaj` for "Do" and "n't", its value is divided
    among them by their number of characters. A token without characters counts for the nearest
    stretch before it.

    Args:
        offsets: (start, end) of each token in the text.
        values: of each token.
        length: of the text, in characters.
    """
    places = [(start, end) for start, end in offsets if start < end]
    if not places:
        return (Span(0, length, float(values.sum())),) if length else ()
    edges = sorted({edge for place in places for edge in place})
    position = {edge: i for i, edge in enumerate(edges)}
    widths, totals = np.diff(edges).astype(np.float64), np.zeros(len(edges) - 1)
    covered = np.zeros(len(edges) - 1, dtype=np.bool_)
    for start, end in places:
        covered[position[start] : position[end]] = True
    inside = np.flatnonzero(covered)
    for (start, end), value in zip(offsets, values.tolist(), strict=True):
        if start < end:
            part = slice(position[start], position[end])
            totals[part] += value * widths[part] / (end - start)
        else:
            before = int(np.searchsorted(np.asarray(edges)[inside], start, side="right")) - 1
            totals[inside[max(0, before)]] += value
    return tuple(Span(edges[i], edges[i + 1], float(totals[i])) for i in inside)


def words_of(offsets: Offsets) -> list[tuple[int, int, list[int]]]:
    """Group tokens that share characters: (start, end, tokens) of each group, in order.

    A token without characters goes with the group before it, the first ones with the first group.
    """
    groups: list[tuple[int, int, list[int]]] = []
    waiting: list[int] = []
    for token, (start, end) in enumerate(offsets):
        if start == end:
            (groups[-1][2] if groups else waiting).append(token)
        elif groups and start < groups[-1][1]:
            first, last, tokens = groups[-1]
            groups[-1] = min(first, start), max(last, end), [*tokens, token]
        else:
            groups.append((start, end, [*waiting, token]))
            waiting = []
    return groups
