from __future__ import annotations

import re

import numpy as np
import pytest

from ulmfit.data.datasets import Dataset, load_dataset
from ulmfit.errors import InputError
from ulmfit.experiments.baselines import class_columns, fit_baseline, share_wrong, word_pattern
from ulmfit.train.metrics import evaluate_labels


def words(text: str) -> list[str]:
    return re.findall(word_pattern(), text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I saw a film, it's 10 of 10!", ["saw", "film", "it", "10", "of", "10"]),
        ("Grüße aus São Paulo", ["Grüße", "aus", "São", "Paulo"]),
        ("Gru\u0308ße", ["Gru\u0308ße"]),  # the same in decomposed letters
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("이 영화 최고", ["영화", "최고"]),
        ("我爱电影", ["我", "爱", "电", "影"]),
        ("映画very好き", ["映", "画", "very", "好", "き"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("?! ...", []),
    ],
)
def test_words_of_every_script_are_found(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_a_class_that_nobody_knows_has_no_column_and_is_wrong() -> None:
    rows = Dataset(["good fun", "so bad", "odd"], ["good", "bad", "odd"])
    assert class_columns(rows, ["bad", "good"]).tolist() == [1, 0, -1]
    model = fit_baseline(rows.subset([0, 1]))
    assert share_wrong(model, rows) == pytest.approx(1 / 3)


def test_trec_error_is_the_published_one_of_this_project() -> None:
    train, test = load_dataset("name:trec6"), load_dataset("name:trec6", split="test")
    assert isinstance(test.labels, list)
    model = fit_baseline(train)
    found = evaluate_labels(test.labels, model.predict(test.texts), model.labels)
    assert found.error == pytest.approx(0.108)


def test_probabilities_add_up_and_follow_the_order_of_the_labels(
    tiny_texts: list[str], tiny_labels: list[str]
) -> None:
    model = fit_baseline(Dataset(tiny_texts, tiny_labels))
    probabilities = model.predict_proba(tiny_texts)
    assert model.labels == ("bad", "good")
    assert probabilities.shape == (12, 2)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert model.predict(["a lovely film, great fun"]) == ["good"]


def test_several_labels_per_row_are_decided_one_by_one() -> None:
    texts = ["cat cat", "dog dog", "cat dog", "bird sky"] * 6
    labels: list[tuple[str, ...]] = [("cat",), ("dog",), ("cat", "dog"), ()] * 6
    model = fit_baseline(Dataset(texts, labels, multi_label=True))
    assert model.predict(["cat cat", "cat dog", "bird sky"]) == [("cat",), ("cat", "dog"), ()]


def test_a_single_class_that_a_row_has_or_not() -> None:
    labels: list[tuple[str, ...]] = [("cat",), ()] * 6
    model = fit_baseline(Dataset(["cat cat", "sky sky"] * 6, labels, multi_label=True))
    assert model.predict_proba(["cat"]).shape == (1, 1)
    assert model.predict(["cat cat", "sky sky"]) == [("cat",), ()]


def test_a_class_that_every_row_has_is_certain() -> None:
    labels: list[tuple[str, ...]] = [("all", "cat"), ("all",)] * 4
    model = fit_baseline(Dataset(["cat cat", "sky sky"] * 4, labels, multi_label=True))
    assert model.predict_proba(["cat"])[0, 0] == 1.0


@pytest.mark.parametrize("texts", [["one two", "three four"], ["? !", ". ,"], ["a b", "c d"]])
def test_a_few_words_or_signs_are_enough(texts: list[str]) -> None:
    model = fit_baseline(Dataset(texts, ["x", "y"]))
    assert model.predict(texts) == ["x", "y"]


def test_text_without_any_known_word_gets_an_answer(
    tiny_texts: list[str], tiny_labels: list[str]
) -> None:
    model = fit_baseline(Dataset(tiny_texts, tiny_labels))
    assert model.predict_proba(["", "qqqq"]).shape == (2, 2)


def test_one_class_is_refused() -> None:
    with pytest.raises(InputError, match="all 2 rows have the label 'x'"):
        fit_baseline(Dataset(["one", "two"], ["x", "x"]))
