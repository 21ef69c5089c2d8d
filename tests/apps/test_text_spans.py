from __future__ import annotations

import numpy as np
import pytest

from tests import tiny
from ulmfit.apps.text_spans import Span, spread, words_of

WORDS = tiny.tokenizer()


def pieces(text: str, spans: tuple[Span, ...]) -> list[tuple[str, float]]:
    return [(text[span.start : span.end], round(span.attribution, 6)) for span in spans]


def test_marks_count_for_the_characters_they_stand_for() -> None:
    text = "The FILM!!!! Don't no no no"
    encoded = WORDS.encode_with_offsets(text)
    values = np.zeros(len(encoded.ids))
    for mark in ("xxmaj", "xxup", "xxrep", "xxwrep"):
        values[encoded.tokens.index(mark)] = 1.0
    found = dict(pieces(text, spread(encoded.offsets, values, len(text))))
    assert found["The"] == found["FILM"] == found["!!!!"] == 1
    assert sum(value for piece, value in found.items() if "no" in piece) == pytest.approx(1)
    assert sum(found.values()) == pytest.approx(4)


def test_a_mark_is_divided_among_what_it_covers() -> None:
    found = spread([(0, 0), (0, 5), (0, 2), (2, 5)], np.array([0, 1.0, 10, 20]), 5)
    assert pieces("Don't", found) == [("Do", 10.4), ("n't", 20.6)]


def test_a_token_without_characters_counts_for_its_neighbour() -> None:
    assert spread([(0, 0), (0, 2), (2, 2), (3, 4)], np.array([1.0, 2, 4, 8]), 4) == (
        Span(0, 2, 7),
        Span(3, 4, 8),
    )
    assert spread([(0, 0), (1, 1)], np.array([0, 0.5]), 3) == (Span(0, 3, 0.5),)
    assert spread([(0, 0)], np.array([0.0]), 0) == ()


def test_words() -> None:
    offsets = [(0, 0), (0, 5), (0, 2), (2, 5), (5, 5), (6, 8)]
    assert words_of(offsets) == [(0, 5, [0, 1, 2, 3, 4]), (6, 8, [5])]
    assert words_of([(0, 0)]) == []
