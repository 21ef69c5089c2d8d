from __future__ import annotations

import numpy as np
import pytest

from ulmfit.apps.report.label_errors import find_label_errors

CLASSES = ("a", "b", "c")


def test_a_planted_error_is_found_and_the_surest_comes_first() -> None:
    rng = np.random.default_rng(0)
    labels = [CLASSES[i % 3] for i in range(300)]
    p = np.full((300, 3), 0.1) + 0.02 * rng.random((300, 3))
    p[np.arange(300), np.arange(300) % 3] = 0.8 + 0.05 * rng.random(300)
    p[5] = [0.96, 0.02, 0.02]  # labelled c
    p[7] = [0.08, 0.02, 0.90]  # labelled b
    found = find_label_errors(p, labels, CLASSES, multi_label=False)
    assert [(each.row, each.given, each.suggested) for each in found] == [
        (5, "c", "a"),
        (7, "b", "c"),
    ]
    assert (found[0].p_given, found[0].p_suggested) == pytest.approx((0.02, 0.96))


def test_an_unsure_contradiction_is_none() -> None:
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.55, 0.45]])
    assert find_label_errors(p, ["a", "a", "b", "b", "b"], ("a", "b"), multi_label=False) == []


def test_the_model_must_hold_the_other_label_for_more_probable() -> None:
    """The only row labelled b is an error itself: the threshold of b is next to nothing."""
    p = np.array([[0.97, 0.03]] * 5 + [[0.94, 0.06]] + [[0.98, 0.02]])
    found = find_label_errors(p, ["a"] * 6 + ["b"], ("a", "b"), multi_label=False)
    assert [each.row for each in found] == [6]


def test_the_threshold_is_how_sure_the_model_usually_is_of_the_class() -> None:
    """Of a class it is never sure of, 0.6 is much."""
    p = np.array([[0.5, 0.5], [0.5, 0.5], [0.6, 0.4], [0.1, 0.9]])
    (found,) = find_label_errors(p, ["a", "a", "b", "b"], ("a", "b"), multi_label=False)
    assert (found.row, found.given, found.suggested) == (2, "b", "a")


def test_a_class_without_rows_is_never_suggested() -> None:
    p = np.array([[0.4, 0.1, 0.5], [0.1, 0.4, 0.5]])
    assert find_label_errors(p, ["a", "b"], CLASSES, multi_label=False) == []
    assert find_label_errors(np.zeros((0, 3)), [], CLASSES, multi_label=False) == []


def test_several_labels_each_have_their_question() -> None:
    labels: list[tuple[str, ...]] = [("a",), ("a",), ("b",), ("b",), ("a",), ("b",)]
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.95, 0.97], [0.03, 0.04]])
    found = find_label_errors(p, labels, ("a", "b"), multi_label=True)
    assert [(each.row, each.given, each.suggested) for each in found] == [
        (4, "not b", "b"),
        (5, "b", "not b"),
    ]
