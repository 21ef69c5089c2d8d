from __future__ import annotations

from math import comb

import numpy as np
import pytest

from ulmfit.apps.report.mistakes import Mistake, confident_mistakes, mcnemar, name_of, right


def test_wrong_answers_the_surest_first() -> None:
    p = np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    found = confident_mistakes(["b", "b", "b", "b"], ["a", "a", "b", "b"], p, multi_label=False)
    assert found == [Mistake(1, "b", "a", 0.9), Mistake(0, "b", "a", 0.6)]


def test_of_several_labels_the_order_does_not_matter() -> None:
    assert right([("a", "b"), ("a",)], [("b", "a"), ()]).tolist() == [True, False]
    p = np.array([[0.9, 0.8], [0.4, 0.1]])
    (found,) = confident_mistakes([("a", "b"), ("a",)], [("a", "b"), ()], p, multi_label=True)
    assert (found.row, found.true, found.predicted) == (1, "a", "(none)")
    assert found.confidence == pytest.approx(0.6 * 0.9)
    assert name_of(("a", "b")) == "a, b"


def pattern(only_first: int, only_second: int, both: int) -> tuple[list[bool], np.ndarray]:
    first = [True] * only_first + [False] * only_second + [True] * both
    second = [False] * only_first + [True] * only_second + [True] * both
    return first, np.array(second)


def test_mcnemar_by_hand() -> None:
    assert mcnemar(*pattern(5, 5, 100)) == 1.0
    assert mcnemar(*pattern(0, 0, 3)) == 1.0
    assert mcnemar(*pattern(9, 1, 7)) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar(*pattern(1, 9, 7)) == mcnemar(*pattern(9, 1, 0))


def test_mcnemar_of_many_rows_is_the_same() -> None:
    exact = 2 * sum(comb(1002, i) for i in range(461)) / 2**1002
    assert mcnemar(*pattern(542, 460, 0)) == pytest.approx(exact, rel=0.02)
