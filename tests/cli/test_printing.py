from __future__ import annotations

import json

import pytest

from ulmfit.cli.printing import (
    confusion_text,
    evaluation_text,
    percent,
    print_json,
    shorten,
    table,
)
from ulmfit.train.metrics import evaluate_labels


def test_json_is_one_document_without_nan(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": (1, {"c": float("inf")}), "ü": "é", 3: True})
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": None, "b": [1, {"c": None}], "ü": "é", "3": True}
    assert "ü" in out


def test_numbers_and_texts_are_short() -> None:
    assert [percent(share) for share in (0, 0.0623, 1)] == ["0.0 %", "6.2 %", "100.0 %"]
    assert shorten("one\n two", 20) == "one two"
    assert shorten("123456", 6) == "123456"
    assert shorten("1234567", 6) == "12345…"


def test_columns_are_aligned() -> None:
    assert table([("name", "n"), ("a", "100")]) == "name    n\na     100"
    assert table([("a", "long name"), ("b", "")], left=2) == "a  long name\nb"


def test_an_evaluation_is_told_in_full() -> None:
    found = evaluate_labels(["a", "a", "b", "b"], ["a", "b", "b", "b"], ["a", "b"])
    assert evaluation_text(found, "m on 4 rows") == (
        "m on 4 rows\n\n"
        "error       25.0 %   1 wrong\n"
        "                     95 % interval 4.6 to 69.9 %\n"
        "accuracy    75.0 %\n"
        "macro F1    73.3 %\n\n"
        "class  precision  recall    F1  rows\n"
        "a          100.0    50.0  66.7     2\n"
        "b           66.7   100.0  80.0     2\n\n"
        "true \\ predicted  a  b\n"
        "a                 1  1\n"
        "b                 .  2"
    )


def test_several_labels_have_a_micro_f1_and_no_confusions() -> None:
    found = evaluate_labels([("a",), ()], [("a",), ("b",)], ["a", "b"], multi_label=True)
    text = evaluation_text(found, "title")
    assert "error       50.0 %   1 rows whose labels are not all right" in text
    assert "micro F1    66.7 %" in text
    assert "predicted" not in text


def test_too_many_classes_for_a_matrix_are_told_by_their_confusions() -> None:
    classes = [f"class number {number}" for number in range(60)]
    truth = [name for name in classes for _ in range(3)]
    said = [*truth]
    said[0] = said[1] = classes[5]
    said[9] = classes[7]
    found = evaluate_labels(truth, said, classes)
    assert confusion_text(found) == (
        "most frequent confusions\n"
        "rows  true            predicted\n"
        "2     class number 0  class number 5\n"
        "1     class number 3  class number 7"
    )
    text = evaluation_text(found, "title")
    assert "... and 10 more classes; --json has them all" in text
    assert max(map(len, text.splitlines())) <= 80


def test_no_confusions_at_all_need_no_list() -> None:
    classes = [f"class number {number}" for number in range(20)]
    assert confusion_text(evaluate_labels(classes, classes, classes)) == ""
