from __future__ import annotations

import numpy as np
import pytest

from ulmfit.apps.decisions import most_probable, require_confidence, with_abstention
from ulmfit.errors import SettingsError

TABLE = np.array([[0.9, 0.5, 0.6], [0.1, 0.2, 0.3]], dtype=np.float32)
NAMES = ("a", "b", "c")


def test_the_most_probable_class_or_all_over_the_threshold() -> None:
    assert most_probable(TABLE, NAMES, multi_label=False) == ["a", "c"]
    assert most_probable(TABLE, NAMES, multi_label=True) == [("a", "c"), ()]
    assert most_probable(TABLE, NAMES, multi_label=True, threshold=0.25) == [NAMES, ("c",)]


def test_rows_that_are_not_sure_enough_are_left_out() -> None:
    table = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]], dtype=np.float32)
    labels = ["a", "a", "b"]
    assert with_abstention(labels, table, None, multi_label=False) == labels
    assert with_abstention(labels, table, 0.65, multi_label=False) == ["a", None, "b"]
    assert with_abstention(["b"], np.array([[0.25, 0.75]]), 0.75, multi_label=False) == ["b"]
    # both labels of the first row are right with a probability of 0.9 * 0.9
    sets = [("a",), ("a",), ("b",)]
    assert with_abstention(sets, table, 0.8, multi_label=True) == [("a",), None, None]


def test_confidence_is_a_probability() -> None:
    for value in (None, 0, 0.5, 1):
        require_confidence(value)
    with pytest.raises(SettingsError, match=r"min_confidence is -0\.1: expected a probability"):
        require_confidence(-0.1)
