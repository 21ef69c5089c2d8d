from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from ulmfit.apps.serve.classifier import predictions, rounded

TABLE = np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25]], dtype=np.float32)


class Fixed:
    labels = ("a", "b", "c")

    def __init__(self, *, multi_label: bool) -> None:
        self.multi_label = multi_label

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float32]:
        return TABLE

    def decide(self, probabilities: NDArray[np.float32]) -> list[str] | list[tuple[str, ...]]:
        if self.multi_label:
            return [("a",), ()]
        return ["a", "a"]


def test_one_label_each() -> None:
    sure, unsure = predictions(Fixed(multi_label=False), TABLE, 0.5)
    assert sure.model_dump() == {
        "label": "a",
        "labels": ["a"],
        "confidence": 0.7,
        "abstained": False,
        "probabilities": {"a": 0.7, "b": 0.2, "c": 0.1},
    }
    assert (unsure.label, unsure.labels, unsure.abstained) == (None, [], True)
    assert unsure.probabilities == {"a": 0.4, "b": 0.35, "c": 0.25}


def test_just_sure_enough_is_no_abstention() -> None:
    table = np.array([[0.5, 0.5, 0], [0.5, 0.25, 0.25]], np.float32)
    found = predictions(Fixed(multi_label=False), table, 0.5)
    assert not any(answer.abstained for answer in found)


def test_several_labels_each() -> None:
    first, second = predictions(Fixed(multi_label=True), TABLE, None)
    assert (first.label, first.labels) == (None, ["a"])
    assert first.confidence == pytest.approx(0.7 * 0.8 * 0.9)  # that all three are right
    assert (second.label, second.labels, second.abstained) == (None, [], False)


def test_numbers_have_the_digits_of_float32() -> None:
    assert rounded(float(np.float32(0.1))) == 0.1
    assert abs(rounded(0.123456789) - 0.123456789) < 1e-6
