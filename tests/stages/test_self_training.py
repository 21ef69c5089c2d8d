"""Which documents a classifier may label for itself."""

from __future__ import annotations

import numpy as np

from ulmfit.stages.self_training import surest

SURE = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8], [0.45, 0.55]])


def test_the_surest_of_each_class_in_ascending_order() -> None:
    rows, classes = surest(SURE, np.array([0.5, 0.5]), 4)
    assert rows.tolist() == [0, 2, 3, 4]
    assert classes.tolist() == [0, 0, 1, 1]


def test_classes_come_in_the_shares_of_the_labels() -> None:
    rows, classes = surest(SURE, np.array([0.25, 0.75]), 4)
    assert rows.tolist() == [0, 3, 4, 5]
    assert classes.tolist() == [0, 1, 1, 1]


def test_a_class_that_is_predicted_too_rarely_gives_what_it_has() -> None:
    rows, classes = surest(SURE[:3], np.array([0.5, 0.5]), 4)
    assert (rows.tolist(), classes.tolist()) == ([0, 2], [0, 0])
    rows, _ = surest(SURE, np.array([0.5, 0.5]), 100)
    assert rows.tolist() == [0, 1, 2, 3, 4, 5]


def test_of_equally_sure_ones_the_first() -> None:
    rows, _ = surest(np.array([[0.7, 0.3]] * 4), np.array([1.0, 0.0]), 2)
    assert rows.tolist() == [0, 1]
