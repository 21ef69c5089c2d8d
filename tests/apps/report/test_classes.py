from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.apps.report.conftest import plain
from ulmfit.apps.report.classes import classes
from ulmfit.apps.report.subject import Answered
from ulmfit.data.datasets import Dataset
from ulmfit.train.metrics import evaluate_labels

Read = Callable[[str], Any]


def answers(truth: list[str], predicted: list[str], names: list[str]) -> Answered:
    score = evaluate_labels(truth, predicted, names)
    table = np.zeros((len(truth), len(names)), np.float32)
    return Answered(Dataset(truth, truth), table, predicted, score)


def test_table_and_matrix(read: Read) -> None:
    found = classes(answers(["a", "a", "<b>", "<b>"], ["a", "<b>", "<b>", "<b>"], ["<b>", "a"]))
    page = read(found.body)
    assert "Hardest is “a”: 50.0 % of its rows are found" in plain(found.lead)
    assert "66.7 %" in page.text  # precision of <b>
    assert "1 of 2 rows of a called <b>" in page.values("title")
    assert page.tags.count("table") == 2
    assert set(page.values("scope")) == {"row", "col"}


def test_nothing_confused() -> None:
    found = classes(answers(["a", "b"], ["a", "b"], ["a", "b"]))
    assert found.lead == "No class is confused with another on these rows."


def test_of_many_classes_the_hardest_and_the_most_frequent_confusions(read: Read) -> None:
    names = [f"class {i:03}" for i in range(300)]
    predicted = [*names[1:30], names[0], *names[30:]]
    page = read(classes(answers(names * 2, predicted * 2, names)).body)
    assert "The 100 of 300 classes with the lowest F1." in page.text
    assert page.tags.count("tr") < 130
    assert "Most frequent confusions" in page.text
    assert "and 10 other pairs" in page.text


def test_several_labels_have_no_matrix(read: Read) -> None:
    truth = [("a",), ("a", "b")]
    score = evaluate_labels(truth, [("a",), ("b",)], ["a", "b"], multi_label=True)
    dataset = Dataset(["x", "y"], truth, multi_label=True)
    page = read(classes(Answered(dataset, np.zeros((2, 2), np.float32), truth, score)).body)
    assert page.tags.count("table") == 1
