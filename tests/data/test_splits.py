from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.data.datasets import load_dataset
from ulmfit.data.splits import balanced_draw, split_texts, stratified_draw, stratified_split
from ulmfit.errors import InputError

LABELS = ["a"] * 60 + ["b"] * 30 + ["c"] * 9 + ["d"]

label_lists = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=60)
label_sets = st.lists(
    st.lists(st.sampled_from("abcd"), max_size=3, unique=True).map(tuple), min_size=1, max_size=40
)
seeds = st.integers(min_value=0, max_value=2**32)
fractions = st.floats(min_value=0.01, max_value=0.99)


def picked(labels: Sequence[str], rows: np.ndarray) -> Counter[str]:
    return Counter(labels[row] for row in rows)


def test_the_same_seed_gives_the_same_rows_on_every_machine() -> None:
    assert stratified_split(LABELS, 0.1, 0)[1].tolist() == GOLDEN["split"]
    assert balanced_draw(LABELS, 8, 0).tolist() == GOLDEN["balanced"]
    assert stratified_draw(LABELS, 8, 0).tolist() == GOLDEN["stratified"]


GOLDEN = {
    "split": [2, 3, 11, 13, 20, 59, 62, 69, 88, 92],
    "balanced": [3, 11, 62, 69, 88, 92, 96, 99],
    "stratified": [3, 11, 13, 20, 62, 69, 92, 99],
}


def test_another_seed_gives_other_rows() -> None:
    draws = {tuple(stratified_split(LABELS, 0.1, seed)[1]) for seed in range(20)}
    assert len(draws) == 20


def test_every_row_is_drawn_equally_often() -> None:
    times = np.zeros(40)
    for seed in range(2000):
        times[stratified_split(["a"] * 40, 0.25, seed)[1]] += 1
    assert 400 < times.min() <= times.max() < 600  # 500 expected, standard deviation 19


@settings(deadline=None)
@given(label_lists, fractions, seeds)
def test_a_split_is_stratified(labels: list[str], fraction: float, seed: int) -> None:
    counts = Counter(labels)
    if max(counts.values()) == 1:
        with pytest.raises(InputError, match="no class has two of them"):
            stratified_split(labels, fraction, seed)
        return
    train, valid = stratified_split(labels, fraction, seed)
    assert sorted([*train, *valid]) == list(range(len(labels)))
    assert (list(train), list(valid)) == (sorted(train), sorted(valid))
    assert train.dtype == valid.dtype == np.int64
    kept, held = picked(labels, train), picked(labels, valid)
    for label, count in counts.items():
        assert kept[label] >= 1
        if count == 1:
            assert held[label] == 0
        else:
            assert held[label] >= 1
    if all(count * min(fraction, 1 - fraction) >= 1 for count in counts.values()):
        assert len(valid) == max(1, round(fraction * len(labels)))
        assert all(abs(held[label] - fraction * count) <= 1 for label, count in counts.items())


def test_copies_of_a_text_stay_together() -> None:
    texts = [f"text {i % 40}" for i in range(100)]
    labels = ["a" if i % 40 < 20 else "b" for i in range(100)]
    train, valid = split_texts(texts, labels, 0.25, seed=3)
    assert sorted([*train, *valid]) == list(range(100))
    held_out = {texts[row] for row in valid}
    assert not held_out & {texts[row] for row in train}
    assert len(held_out) == 10
    assert Counter(labels[int(text.split()[1])] for text in held_out) == {"a": 5, "b": 5}


def test_different_texts_are_split_as_rows() -> None:
    texts = [f"text {i}" for i in range(len(LABELS))]
    found, rows = split_texts(texts, LABELS, 0.3, 1), stratified_split(LABELS, 0.3, 1)
    assert [part.tolist() for part in found] == [part.tolist() for part in rows]


@pytest.mark.parametrize("seed", range(20))
def test_one_text_that_is_most_of_the_rows_is_trained_on(seed: int) -> None:
    texts = ["thanks"] * 600 + [f"text {i}" for i in range(400)]
    labels = ["a"] * 600 + ["a", "b"] * 200
    train, valid = split_texts(texts, labels, 0.1, seed)
    assert set(range(600)) <= set(train.tolist())
    assert len(valid) == 40


@pytest.mark.parametrize("n", [2, 3, 4, 10])
def test_of_few_texts_one_is_held_out(n: int) -> None:
    train, valid = split_texts([f"text {i}" for i in range(n)], ["a"] * n, 0.1, 0)
    assert (len(train), len(valid)) == (n - 1, 1)


@pytest.mark.parametrize("seed", range(20))
def test_texts_whose_copies_contradict_each_other_are_trained_on(seed: int) -> None:
    texts = [*(f"text {i}" for i in range(20)), "text 3", "text 4"]
    labels = ["a", "b"] * 10 + ["c", "c"]
    train, valid = split_texts(texts, labels, 0.5, seed)
    assert {3, 4, 20, 21} <= set(train.tolist())
    assert len(train) + len(valid) == 22


def test_nothing_can_be_held_out_where_all_texts_contradict_themselves() -> None:
    with pytest.raises(InputError, match="every text has copies with different labels"):
        split_texts(["same"] * 4 + ["too"] * 4, ["a", "b"] * 4, 0.5, 0)


def test_copies_with_several_labels_a_row() -> None:
    texts = ["x", "y", "x", "z", "y", "w"]
    labels = [("a",), ("a", "b"), ("a",), ("a",), ("a", "b"), ("b",)]
    train, valid = split_texts(texts, labels, 0.5, 0)
    assert not {texts[row] for row in train} & {texts[row] for row in valid}
    assert len(train) + len(valid) == 6
    assert len(valid)


def test_where_all_texts_are_frequent_some_are_held_out() -> None:
    texts = [f"text {i % 4}" for i in range(40)]
    train, valid = split_texts(texts, ["a"] * 40, 0.2, 0)
    assert (len(train), len(valid)) == (30, 10)


def test_there_is_nothing_to_hold_out_of_copies_of_one_text() -> None:
    with pytest.raises(InputError, match="nothing can be held out"):
        split_texts(["thanks"] * 20, ["a"] * 20, 0.2, 0)


@settings(deadline=None)
@given(label_sets, fractions, seeds)
def test_a_split_of_several_labels(
    labels: list[tuple[str, ...]], fraction: float, seed: int
) -> None:
    try:
        train, valid = stratified_split(labels, fraction, seed)
    except InputError:
        counts = Counter(label for row in labels for label in row or ("",))
        assert max(counts.values()) == 1
        return
    assert sorted([*train, *valid]) == list(range(len(labels)))
    assert len(train) >= 1
    assert len(valid) >= 1


def test_labels_of_several_per_row_are_on_both_sides_in_proportion() -> None:
    rows: list[tuple[str, ...]] = [("a", "b")] * 40 + [("a",)] * 40 + [("b", "c")] * 10 + [()] * 10
    train, valid = stratified_split(rows, 0.2, 0)
    held = Counter(label for row in valid for label in rows[row] or ("none",))
    assert held == {"a": 16, "b": 10, "c": 2, "none": 2}
    assert len(train) == 80


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(InputError, match="expected a number between 0 and 1"):
        stratified_split(LABELS, fraction, 0)


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "b"], [("a",), ("b",)], [("a",)], [()]])
def test_too_few_rows_to_split(labels: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        stratified_split(labels, 0.5, 0)
    assert str(caught.value) == (
        f"nothing can be held out of {len(labels)} different rows: no class has two of them. "
        "Give more labelled rows, or a test file of your own."
    )


@settings(deadline=None)
@given(label_lists, st.integers(1, 70), seeds)
def test_a_stratified_draw(labels: list[str], n: int, seed: int) -> None:
    rows = stratified_draw(labels, n, seed)
    assert len(rows) == min(n, len(labels))
    assert list(rows) == sorted(set(rows))
    counts, drawn = Counter(labels), picked(labels, rows)
    if n >= len(counts):
        assert set(drawn) == set(counts)
    exact = {label: count * n / len(labels) for label, count in counts.items()}
    if n < len(labels) and min(exact.values()) >= 1:
        assert all(abs(drawn[label] - exact[label]) < 1 for label in counts)


@settings(deadline=None)
@given(label_lists, st.integers(1, 70), seeds)
def test_a_balanced_draw(labels: list[str], n: int, seed: int) -> None:
    rows = balanced_draw(labels, n, seed)
    assert len(rows) == min(n, len(labels))
    assert list(rows) == sorted(set(rows))
    counts, drawn = Counter(labels), picked(labels, rows)
    unspent = [drawn[label] for label in counts if drawn[label] < counts[label]]
    if unspent:
        # nobody is two behind another, and those with all rows taken are not ahead
        assert max(drawn.values()) - min(unspent) <= 1


@settings(deadline=None)
@given(label_lists, st.integers(1, 40), st.integers(0, 30), seeds)
def test_a_smaller_balanced_draw_is_a_part_of_a_greater(
    labels: list[str], n: int, more: int, seed: int
) -> None:
    small, great = balanced_draw(labels, n, seed), balanced_draw(labels, n + more, seed)
    assert set(small) <= set(great)


def test_one_row_at_least_is_trained_on_whatever_the_fraction() -> None:
    # No row shares all of its labels: chance alone decides, and all but half a row are asked for.
    rows = [("all", str(number)) for number in range(4)]
    train, valid = stratified_split(rows, 0.99, 0)
    assert (len(train), len(valid)) == (1, 3)


def test_what_does_not_divide_goes_to_classes_by_chance() -> None:
    labels = ["a", "b", "c"] * 5
    extra = {
        picked(labels, balanced_draw(labels, 4, seed)).most_common(1)[0][0] for seed in range(30)
    }
    assert extra == {"a", "b", "c"}


def test_draws_of_several_labels_count_the_rarest() -> None:
    rows: list[tuple[str, ...]] = [("a", "b")] * 5 + [("a",)] * 20 + [()] * 5
    drawn = balanced_draw(rows, 9, 0)
    assert Counter(rows[row] for row in drawn) == {("a", "b"): 3, ("a",): 3, (): 3}
    assert len(stratified_draw(rows, 6, 0)) == 6


@pytest.mark.parametrize("draw", [balanced_draw, stratified_draw])
def test_a_draw_of_nothing(draw: Callable[[list[str], int, int], np.ndarray]) -> None:
    with pytest.raises(InputError, match="cannot draw 0 rows: expected at least 1"):
        draw(LABELS, 0, 0)
    assert draw(["a", "b"], 5, 0).tolist() == [0, 1]
    assert draw([], 5, 0).tolist() == []


def test_a_tenth_of_imdb_and_a_hundred_of_trec(shared_data: Callable[[str], Path]) -> None:
    imdb = load_dataset(shared_data("imdb"))
    train, valid = stratified_split(imdb.labels or [], 0.1, 1)
    assert (len(train), len(valid)) == (22_500, 2_500)
    assert Counter(imdb.subset(valid).labels or []) == {"pos": 1250, "neg": 1250}
    trec = load_dataset("name:trec6")
    drawn = Counter(trec.subset(balanced_draw(trec.labels or [], 100, 1)).labels or [])
    assert sorted(drawn.values()) == [16, 16, 17, 17, 17, 17]


def test_many_classes_take_no_time() -> None:
    labels = [str(n % 5000) for n in range(60_000)]
    assert len(stratified_draw(labels, 7000, 0)) == 7000
    assert len(balanced_draw(labels, 7001, 0)) == 7001
    assert len(stratified_split(labels, 0.1, 0)[1]) == 6000
