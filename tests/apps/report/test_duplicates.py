from __future__ import annotations

import random
import time

import numpy as np
import pytest

from ulmfit.apps.report.duplicates import (
    MOST_CHARS,
    Pair,
    find_duplicates,
    jaccard,
    normalised,
    shingles,
    sketches,
)

WORDS = [f"{a}{b}{c}o" for a in "bdfgklm" for b in "aeiou" for c in "nrstvz"]


def sentence(draw: random.Random, length: int) -> str:
    return " ".join(draw.choices(WORDS, k=length))


def slow_pairs(train: list[str], test: list[str], threshold: float) -> dict[int, float]:
    """Every text against every other one."""
    known = [shingles(normalised(text)) for text in train]
    best = {
        row: max(jaccard(shingles(normalised(text)), other) for other in known)
        for row, text in enumerate(test)
    }
    return {row: index for row, index in best.items() if index >= threshold}


def test_the_same_letters_are_the_same_text() -> None:
    train = ["Something else", "What is NASA?", "WHAT is nasa", "Über  Größe!"]
    found = find_duplicates(train, ["what is nasa ??", "über größe", "nothing alike"])
    assert found == [Pair(0, 1, 1.0), Pair(1, 3, 1.0)]
    assert found[0].exact


def test_nearly_the_same_text_is_found_with_its_index() -> None:
    text = "the quick brown fox jumps over the lazy dog near the river bank"
    (pair,) = find_duplicates(["unrelated words here", text], [f"{text} today"])
    assert (pair.test_row, pair.train_row, pair.exact) == (0, 1, False)
    assert pair.similarity == pytest.approx(
        jaccard(shingles(normalised(text)), shingles(normalised(f"{text} today")))
    )


def test_texts_without_letters_have_no_pair() -> None:
    assert find_duplicates(["", "!!!", "a"], ["", "...", "  "]) == []
    assert find_duplicates([], ["a text"]) == []
    assert find_duplicates(["a text"], []) == []


def test_very_short_texts() -> None:
    assert find_duplicates(["yes", "no"], ["Yes!", "nope"]) == [Pair(0, 0, 1.0)]


def test_it_finds_what_comparing_all_pairs_finds() -> None:
    draw = random.Random(1)
    train = [sentence(draw, draw.randint(4, 60)) for _ in range(200)]
    test = [sentence(draw, draw.randint(4, 60)) for _ in range(30)]
    for source in draw.sample(range(200), 100):  # copies with more and more words changed
        words = train[source].split()
        for _ in range(draw.randint(1, 1 + len(words) // 8)):
            words[draw.randrange(len(words))] = draw.choice(WORDS)
        test.append(" ".join(words))
    expected = slow_pairs(train, test, 0.8)
    found = {pair.test_row: pair.similarity for pair in find_duplicates(train, test)}
    assert len(expected) > 30
    assert found.keys() <= expected.keys()
    assert len(found) >= 0.97 * len(expected)
    assert all(found[row] == pytest.approx(expected[row], abs=0.001) for row in found)


def test_equal_bins_estimate_the_index() -> None:
    draw = random.Random(2)
    first = sentence(draw, 400)
    words = first.split()
    second = " ".join(draw.choice(WORDS) if draw.random() < 0.1 else word for word in words)
    one, other = sketches([first, second])
    exact = jaccard(shingles(first), shingles(second))
    assert np.mean(one == other) == pytest.approx(exact, abs=0.15)


def test_many_texts_of_one_form_do_not_slow_it_down() -> None:
    train = [f"what is the capital of country number {i}" for i in range(3000)]
    test = [f"what is the capital of country number {i}" for i in range(5000, 6000)]
    start = time.process_time()
    find_duplicates(train, test)
    assert time.process_time() - start < 10  # every pair of them would take minutes


def test_long_texts_are_the_same_only_to_the_end() -> None:
    pages = sentence(random.Random(3), 2_000)
    assert len(pages) > MOST_CHARS
    forms = [f"{pages} is sold to {name}" for name in ("Anna", "Ben")]
    (pair,) = find_duplicates([forms[0]], [forms[1]])
    assert not pair.exact  # alike in their first pages, which is all that is sketched
    (pair,) = find_duplicates(forms, [forms[1].upper()])
    assert (pair.train_row, pair.exact) == (1, True)
    letters = "!" * MOST_CHARS + "at last"
    assert find_duplicates([letters, "x"], [letters, "!"]) == [Pair(0, 0, 1.0)]


def test_long_texts_are_compared_by_their_beginning() -> None:
    start = time.process_time()
    find_duplicates(["word " * 200_000], ["word " * 200_001])
    assert time.process_time() - start < 2
