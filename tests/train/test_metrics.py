from __future__ import annotations

import json
import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.errors import InputError
from ulmfit.train.metrics import (
    Evaluation,
    evaluate_labels,
    indicators,
    unknown_labels,
    wilson_interval,
)

TRUE = ["a", "a", "a", "b", "b", "c"]
SAID = ["a", "a", "b", "b", "c", "c"]
CLASSES = ["a", "b", "c", "never"]


@pytest.fixture(scope="module")
def single() -> Evaluation:
    return evaluate_labels(TRUE, SAID, CLASSES)


@pytest.fixture(scope="module")
def several() -> Evaluation:
    truth = [("a",), ("a", "b"), (), ("b", "c")]
    said = [("a",), ("a",), ("c",), ("c", "b")]
    return evaluate_labels(truth, said, CLASSES, multi_label=True)


def test_error_counts_the_rows_that_are_wrong(single: Evaluation) -> None:
    assert (single.rows, single.wrong) == (6, 2)
    assert single.error == pytest.approx(2 / 6)
    assert single.accuracy == pytest.approx(4 / 6)
    assert single.micro_f1 == pytest.approx(single.accuracy)


def test_scores_of_a_class_are_the_textbook_ones(single: Evaluation) -> None:
    a, b, c, never = single.classes
    assert (a.precision, a.recall, a.f1) == pytest.approx((1.0, 2 / 3, 0.8))
    assert (b.precision, b.recall, b.f1, b.support) == pytest.approx((0.5, 0.5, 0.5, 2))
    assert (c.precision, c.recall, c.f1, c.support) == pytest.approx((0.5, 1.0, 2 / 3, 1))
    assert (never.f1, never.support) == (0.0, 0)


def test_macro_f1_leaves_out_classes_that_nobody_saw(single: Evaluation) -> None:
    assert single.macro_f1 == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)


def test_confusion_has_the_truth_in_rows(single: Evaluation) -> None:
    assert single.confusion == ((2, 1, 0, 0), (0, 1, 1, 0), (0, 0, 1, 0), (0, 0, 0, 0))


def test_scikit_learn_agrees(single: Evaluation) -> None:
    from sklearn.metrics import confusion_matrix, f1_score

    assert single.macro_f1 == pytest.approx(f1_score(TRUE, SAID, average="macro"))
    matrix = confusion_matrix(TRUE, SAID, labels=CLASSES)
    assert single.confusion == tuple(map(tuple, matrix.tolist()))


def test_several_labels_are_right_only_as_a_set(several: Evaluation) -> None:
    assert several.wrong == 2  # the order within a row does not matter
    assert several.micro_f1 == pytest.approx(2 * 4 / (5 + 5))
    assert several.confusion is None
    assert [score.f1 for score in several.classes] == pytest.approx([1.0, 2 / 3, 2 / 3, 0.0])


def test_rows_without_any_label_are_no_division_by_zero() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate_labels([(), ()], [(), ()], CLASSES, multi_label=True)
    assert (found.error, found.macro_f1, found.micro_f1) == (0.0, 0.0, 0.0)


def test_one_class_alone_can_be_evaluated() -> None:
    found = evaluate_labels(["a", "a"], ["a", "a"], ["a", "b"])
    assert (found.error, found.macro_f1) == (0.0, 1.0)


def test_a_class_that_is_only_predicted_counts_in_macro_f1() -> None:
    found = evaluate_labels(["a", "a"], ["a", "b"], ["a", "b", "never"])
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_a_single_class_that_a_row_has_or_not() -> None:
    truth: list[tuple[str, ...]] = [("a",), ("a",), (), ()]
    said: list[tuple[str, ...]] = [("a",), (), ("a",), ()]
    found = evaluate_labels(truth, said, ["a"], multi_label=True)
    (a,) = found.classes
    assert (a.precision, a.recall, a.f1, a.support) == (0.5, 0.5, 0.5, 2)
    assert (found.wrong, found.macro_f1, found.micro_f1) == (2, 0.5, 0.5)


def test_dictionary_is_json(single: Evaluation) -> None:
    plain = json.loads(json.dumps(single.to_dict()))
    assert plain["error_interval"] == pytest.approx(list(single.error_interval))
    assert plain["classes"][0]["name"] == "a"
    assert plain["confusion"][0] == [2, 1, 0, 0]


def test_wilson_interval_is_the_printed_one() -> None:
    # 10 of 100, z = 1.96: (0.1 + 0.019208 -+ 1.96 sqrt(0.0009 + 0.00009604)) / 1.038416
    low, high = wilson_interval(10, 100, z=1.96)
    root = math.sqrt(0.0009 + 0.00009604)
    assert low == pytest.approx((0.119208 - 1.96 * root) / 1.038416)
    assert high == pytest.approx((0.119208 + 1.96 * root) / 1.038416)
    assert wilson_interval(10, 100) == pytest.approx((low, high), abs=1e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_estimate(case: tuple[int, int]) -> None:
    wrong, rows = case
    low, high = wilson_interval(wrong, rows)
    assert 0.0 <= low <= wrong / rows + 1e-12
    assert wrong / rows - 1e-12 <= high <= 1.0
    assert low < high


def test_unknown_labels_are_named_with_their_rows() -> None:
    assert unknown_labels(TRUE, CLASSES) is None
    assert unknown_labels(TRUE, ["b", "c"]) == "the label 'a' (3 rows) is"
    assert unknown_labels(TRUE, ["a"]) == "2 labels, 'b' (2 rows), 'c' (1 row), are"
    assert unknown_labels([("a", "z"), ()], ["a"]) == "the label 'z' (1 row) is"
    assert str(unknown_labels([*"abcdefg"], ["a"])).endswith("'f' (1 row), ..., are")


def test_labels_a_model_does_not_know_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        evaluate_labels(TRUE, SAID, ["a", "b"], name="test.csv")
    assert str(caught.value) == (
        "test.csv: the label 'c' (1 row) is unknown to the model: expected its classes 'a', 'b'. "
        "Use the names of the training data, or name another column with `--label COL`."
    )


def test_nothing_cannot_be_evaluated() -> None:
    with pytest.raises(InputError, match=r"test.csv: has no rows"):
        evaluate_labels([], [], CLASSES, name="test.csv")


def test_indicators_mark_each_class_of_a_row() -> None:
    table = indicators([("a", "c"), ()], ["a", "b", "c"])
    assert table.tolist() == [[True, False, True], [False, False, False]]
