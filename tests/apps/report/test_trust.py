from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.apps.report.conftest import plain
from ulmfit.apps.report.subject import Answered
from ulmfit.apps.report.trust import trust
from ulmfit.data.datasets import Dataset
from ulmfit.train.metrics import evaluate_labels

Read = Callable[[str], Any]


def sure(confidence: float, wrong: int) -> Answered:
    """Ten answers of one confidence."""
    truth = ["a"] * (10 - wrong) + ["b"] * wrong
    table = np.tile(np.array([[confidence, 1 - confidence]], np.float32), (10, 1))
    score = evaluate_labels(truth, ["a"] * 10, ["a", "b"])
    return Answered(Dataset(truth, truth), table, ["a"] * 10, score)


def test_too_sure_too_unsure_or_neither() -> None:
    assert "too sure of itself, by 20.0 % on average" in plain(trust(sure(0.9, 3), ["a", "b"]).lead)
    assert "too unsure of itself, by 30.0 %" in plain(trust(sure(0.6, 1), ["a", "b"]).lead)
    assert "about as sure as it is right" in plain(trust(sure(0.9, 1), ["a", "b"]).lead)
    assert "20.0 % apart" in plain(trust(sure(0.9, 3), ["a", "b"]).lead)


def test_error_by_coverage(read: Read) -> None:
    page = read(trust(sure(0.92, 2), ["a", "b"]).body)
    rows = [line for line in page.text.split("sure by at least")[1].split("%") if line]
    assert "any100.0 " in page.text and rows
    assert "90 %100.0 %220.0 %" in page.text  # answered, wrong, error
    assert "95 %0.0 %0––" in page.text


def test_several_labels() -> None:
    truth = [("a",), ("a", "b")]
    table = np.array([[0.9, 0.2], [0.9, 0.3]], np.float32)
    score = evaluate_labels(truth, [("a",), ("a",)], ["a", "b"], multi_label=True)
    dataset = Dataset(["x", "y"], truth, multi_label=True)
    found = trust(Answered(dataset, table, [("a",), ("a",)], score), ["a", "b"])
    assert "that all its labels are right" in found.body
