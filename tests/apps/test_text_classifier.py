from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn.exceptions import DataConversionWarning, NotFittedError

from tests import tiny
from ulmfit import TextClassifier
from ulmfit.config import Dropouts
from ulmfit.errors import InputError, ModelFolderError, SettingsError

TEXTS, LABELS = tiny.labelled_texts(40)
SETTINGS = {
    "finetune_lm": None,
    "classifier.epochs": 8,
    "classifier.batch_size": 8,
    "classifier.unfreezing": "full",
    "classifier.rates.lr": 0.1,
    "classifier.rates.kind": "uniform",
    "classifier.ar_alpha": 0.0,
    "classifier.tar_beta": 0.0,
    **{f"classifier.dropouts.{name}": 0.0 for name in Dropouts.model_fields},
    "classifier.head_p": [0.0, 0.0],
}

Maker = Callable[..., TextClassifier]


@pytest.fixture(scope="module")
def make(lm_folder: Path) -> Maker:
    def maker(**parameters: Any) -> TextClassifier:
        given = {"lm": lm_folder, "direction": "forward", "overrides": SETTINGS, **parameters}
        return TextClassifier(**given)

    return maker


@pytest.fixture(scope="module")
def fitted(make: Maker) -> TextClassifier:
    return make().fit(TEXTS, LABELS)


class DatasetsColumn:
    """What `dataset["text"]` is in version 4 of `datasets`: a sequence that reads lazily."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: int) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)


COLUMNS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": lambda values: (value for value in values),
    "numpy str": np.array,
    "numpy object": lambda values: np.array(values, dtype=object),
    "pandas": pd.Series,
    "pandas object": lambda values: pd.Series(values, dtype=object),
    "pandas index": lambda values: pd.Series(values, index=range(100, 100 + len(values))),
    "arrow": pa.array,
    "arrow chunks": lambda values: pa.chunked_array([values[:7], values[7:]]),
    "datasets": DatasetsColumn,
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS.keys())
def test_columns_of_any_kind(
    make: Maker, fitted: TextClassifier, column: Callable[[list[str]], Any]
) -> None:
    expected = fitted.predict_proba(TEXTS)
    np.testing.assert_array_equal(fitted.predict_proba(column(TEXTS)), expected)
    assert fitted.score(column(TEXTS), column(LABELS)) >= 0.95
    again = make().fit(column(TEXTS), column(LABELS), unlabeled=column(TEXTS[:5]))
    np.testing.assert_array_equal(again.predict_proba(TEXTS), expected)
    assert again.classes_.tolist() == ["glad", "sad"]


def test_learns_and_answers(fitted: TextClassifier) -> None:
    answers = fitted.predict(["the film was great .", "the film was awful ."])
    assert answers.tolist() == ["glad", "sad"]
    probabilities = fitted.predict_proba(TEXTS)
    assert probabilities.shape == (40, 2)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert fitted.score(TEXTS, LABELS) >= 0.95
    wrong = ["sad" if label == "glad" else "glad" for label in LABELS]
    assert fitted.score(TEXTS, wrong) == pytest.approx(1 - fitted.score(TEXTS, LABELS))


def test_score_takes_weights(fitted: TextClassifier) -> None:
    weights = [1.0] + [0.0] * 39
    assert fitted.score(TEXTS, LABELS, sample_weight=weights) == 1.0
    assert fitted.score(TEXTS, ["neither", *LABELS[1:]], sample_weight=weights) == 0.0


@pytest.mark.parametrize(
    ("glad", "sad", "kind"),
    [
        (3, -12, np.integer),
        (np.int16(3), np.int16(4), np.integer),
        (True, False, np.bool_),
        (1.0, 0.0, np.floating),
        ("10", "9", np.str_),
    ],
)
def test_answers_are_of_the_type_that_fit_was_given(
    make: Maker, glad: Any, sad: Any, kind: type
) -> None:
    labels = [glad if label == "glad" else sad for label in LABELS]
    classifier = make().fit(TEXTS, labels)
    assert classifier.classes_.tolist() == np.unique(labels).tolist() == sorted([glad, sad])
    answers = classifier.predict(TEXTS)
    assert np.issubdtype(answers.dtype, kind)
    assert (answers == np.array(labels)).mean() >= 0.95
    assert classifier.score(TEXTS, np.array(labels)) == (answers == np.array(labels)).mean()


def test_list_of_labels_per_row_is_multi_label(make: Maker) -> None:
    labels = [["happy", "short"] if label == "glad" else ["short"] for label in LABELS]
    classifier = make().fit(TEXTS, labels)
    assert classifier.classes_.tolist() == ["happy", "short"]
    answers = classifier.predict(["the film was great .", "the film was awful ."])
    assert answers == [("happy", "short"), ("short",)]
    assert classifier.score(TEXTS, labels) >= 0.95
    probabilities = classifier.predict_proba(["the film was awful ."])
    assert probabilities[0, 0] < 0.5 < probabilities[0, 1]


def test_sets_of_whole_numbers(make: Maker) -> None:
    labels = [{7, 10} if label == "glad" else {10} for label in LABELS]
    classifier = make().fit(TEXTS, labels)
    assert classifier.classes_.tolist() == [7, 10]
    assert classifier.predict(["the film was great ."]) == [(7, 10)]


def test_matrix_in_matrix_out(make: Maker) -> None:
    matrix = np.array([[label == "glad", False, label == "sad"] for label in LABELS], dtype=int)
    classifier = make().fit(TEXTS, matrix)
    assert classifier.classes_.tolist() == [0, 1, 2]
    answers = classifier.predict(TEXTS)
    assert (answers.shape, answers.dtype) == ((40, 3), np.int64)
    assert (answers == matrix).all(axis=1).mean() >= 0.95
    assert (classifier.predict_proba(TEXTS)[:, 1] == 0).all(), "never seen with a 1"
    assert classifier.score(TEXTS, matrix) == (answers == matrix).all(axis=1).mean()
    assert classifier.score(TEXTS, matrix.tolist()) == classifier.score(TEXTS, matrix)
    with pytest.raises(
        SettingsError, match="min_confidence cannot be used with labels in a matrix"
    ):
        classifier.predict(TEXTS, min_confidence=0.9)


def test_the_columns_of_a_table_keep_their_names(make: Maker, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {name: [int(label == name) for label in LABELS] for name in ["sad", "glad"]}
    )
    make().fit(TEXTS, table).save(tmp_path / "model")
    classifier = TextClassifier.load(tmp_path / "model")
    assert classifier.classes_.tolist() == ["sad", "glad"]
    assert sorted(classifier.predictor_.labels) == ["glad", "sad"]
    right = (classifier.predict(TEXTS) == table.to_numpy()).all(axis=1).mean()
    assert right >= 0.95
    for same in (table, table[["glad", "sad"]], table.to_numpy(), [[label] for label in LABELS]):
        assert classifier.score(TEXTS, same) == right
    assert classifier.explain(TEXTS[0], "sad").label == "sad"
    for other in (table[["sad"]], table.assign(more=1), table.rename(columns={"sad": "bad"})):
        with pytest.raises(InputError, match="column"):
            classifier.score(TEXTS, other)


def test_column_of_labels_as_a_table_is_taken_with_a_warning(make: Maker) -> None:
    column = np.array(LABELS).reshape(-1, 1)
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        classifier = make().fit(TEXTS, column)
    assert classifier.classes_.tolist() == ["glad", "sad"]


def test_both_directions_are_averaged(make: Maker) -> None:
    networks = {**SETTINGS, "ngrams": None}
    forward, backward, both = (
        make(direction=direction, overrides=networks).fit(TEXTS, LABELS).predict_proba(TEXTS)
        for direction in ("forward", "backward", "both")
    )
    np.testing.assert_allclose(both, (forward + backward) / 2, atol=1e-6)
    assert abs(forward - backward).max() > 1e-3


def test_unlabelled_text_reaches_the_language_model(make: Maker) -> None:
    opened = []

    def more() -> Iterator[str]:
        opened.append(True)
        yield from ["a zebra laughed ."] * 4

    tuned = {**SETTINGS, "finetune_lm": {"epochs": 1, "min_freq": 1, "rates": {"lr": 0.01}}}
    classifier = make(overrides=tuned).fit(TEXTS, LABELS, unlabeled=more)
    assert len(opened) > 1, "read several times, held never"
    assert "zebra" in classifier.predictor_.members[0].tokenizer.vocab
    plain = make(overrides=tuned).fit(TEXTS, LABELS)
    assert "zebra" not in plain.predictor_.members[0].tokenizer.vocab


def test_same_seed_same_model(make: Maker, fitted: TextClassifier) -> None:
    first = fitted.predict_proba(TEXTS)
    np.testing.assert_array_equal(make().fit(TEXTS, LABELS).predict_proba(TEXTS), first)
    other = make(seed=1).fit(TEXTS, LABELS).predict_proba(TEXTS)
    assert (other != first).any()


def test_fit_starts_anew(make: Maker, fitted: TextClassifier) -> None:
    classifier = make().fit(TEXTS, ["x" if label == "glad" else "y" for label in LABELS])
    classifier.fit(TEXTS, LABELS)
    np.testing.assert_array_equal(classifier.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_fit_leaves_the_random_numbers_of_others_alone(make: Maker) -> None:
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    make().fit(TEXTS, LABELS)
    drawn = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    assert drawn == (random.random(), np.random.rand(), torch.rand(1).item())


def test_nothing_is_shown_unless_asked_for(make: Maker, capfd: pytest.CaptureFixture[str]) -> None:
    make().fit(TEXTS, LABELS)
    assert capfd.readouterr() == ("", "")
    make(verbose=True).fit(TEXTS, LABELS)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "epoch 8/8" in shown.err


def test_ctrl_c_stops_a_search_and_leaves_nothing(
    make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    classifier = make(overrides={**SETTINGS, "classifier.epochs": 2_000})
    handler = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(TEXTS, LABELS)
    timer.join()
    assert signal.getsignal(signal.SIGINT) is handler
    assert list(tmp_path.iterdir()) == []
    assert not hasattr(classifier, "classes_")


def test_before_fit_there_is_nothing_to_ask(make: Maker, tmp_path: Path) -> None:
    message = "This TextClassifier is not fitted yet: call `fit`, or `load` a model."
    classifier = make()
    for ask in (classifier.predict, classifier.predict_proba, lambda X: classifier.score(X, X)):
        with pytest.raises(NotFittedError, match=message):
            ask(TEXTS)
    with pytest.raises(NotFittedError, match=message):
        classifier.save(tmp_path / "model")


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (TEXTS, None, "fit requires y to be passed, but the target y is None: expected as many"),
        (TEXTS, LABELS[:-1], "40 texts and 39 labels: expected as many of both"),
        ([], [], "there are 0 samples to train on: expected samples of at least two classes"),
        (["a"], ["x"], "there is 1 sample to train on: expected samples of at least two classes"),
        (TEXTS, ["x"] * 40, "expected at least two classes"),
        (TEXTS, [0.5, 1.5] * 20, "Unknown label type: continuous"),
        (TEXTS, ["x", 1] * 20, "labels are of several types"),
        (TEXTS, ["x", None] * 20, "the label of row 1 is missing"),
        (TEXTS, [1.0, float("nan")] * 20, "the label of row 1 is missing"),
        ([*TEXTS[:-1], None], LABELS, "the text of row 39 is missing"),
        ([*TEXTS[:-1], 7], LABELS, r"the text of row 39 is 7 \(int\): expected a string"),
        ("a text", ["x"], r"texts is one string .* expected a list of texts"),
        (pd.DataFrame({"text": TEXTS}), LABELS, "texts is a DataFrame: expected one column"),
        (np.array(TEXTS).reshape(20, 2), LABELS[:20], "the text of row 0 is"),
        ([" "] * 40, LABELS, "all 40 texts are empty or blank"),
    ],
)
def test_data_that_cannot_be_trained_on(make: Maker, texts: Any, labels: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make().fit(texts, labels)


def test_missing_text_in_prediction(fitted: TextClassifier) -> None:
    with pytest.raises(InputError, match="the text of row 1 is missing"):
        fitted.predict(["a", None])
    with pytest.raises(InputError, match="texts is one string"):
        fitted.predict("a text")
    with pytest.raises(InputError, match="there is nothing to score"):
        fitted.score([], [])


def test_nothing_in_nothing_out(fitted: TextClassifier) -> None:
    assert fitted.predict_proba([]).shape == (0, 2)
    assert fitted.predict([]).tolist() == []
    assert fitted.predict(["", "   ", "zzz unknown words"]).shape == (3,)


def test_rows_without_text_are_left_out_of_training(make: Maker) -> None:
    with pytest.warns(UserWarning, match="1 of 41 rows have an empty or blank text"):
        make().fit([*TEXTS, " "], [*LABELS, "glad"])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"preset": "papers"}, "preset 'papers' is unknown.*Did you mean 'paper'"),
        ({"overrides": {"classifier.epoch": 3}}, "did you mean 'classifier.epochs'"),
        ({"overrides": {"classifier.epochs": 0}}, "classifier.epochs = 0: expected greater than"),
        ({"direction": "up"}, "direction 'up' is unknown: expected one of forward, backward, both"),
        ({"device": "gpu"}, "device 'gpu' is unknown: expected one of auto, cpu, cuda, mps"),
        ({"lm": "en-smal"}, "language model 'en-smal' is neither a name nor a folder"),
    ],
)
def test_parameters_that_do_not_exist(
    make: Maker, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        make(**parameters).fit(TEXTS, LABELS)


def test_language_model_that_is_no_folder_of_one(make: Maker, tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="is not a model folder"):
        make(lm=tmp_path).fit(TEXTS, LABELS)


def test_failed_fit_keeps_the_model_of_before(make: Maker) -> None:
    classifier = make().fit(TEXTS, LABELS)
    before = classifier.predict_proba(TEXTS)
    with pytest.raises(InputError):
        classifier.fit(TEXTS, ["x"] * 40)
    np.testing.assert_array_equal(classifier.predict_proba(TEXTS), before)
    assert classifier.classes_.tolist() == ["glad", "sad"]


def test_answers_that_are_not_sure_enough_are_none(fitted: TextClassifier) -> None:
    answers = fitted.predict(TEXTS, min_confidence=0)
    assert answers.tolist() == fitted.predict(TEXTS).tolist()
    assert set(fitted.predict(["the"], min_confidence=1)) == {None}
    with pytest.raises(SettingsError, match="min_confidence is 2: expected a probability"):
        fitted.predict(TEXTS, min_confidence=2)


def test_an_answer_is_explained(fitted: TextClassifier) -> None:
    found = fitted.explain("the film was lovely", "sad")
    assert found.label == "sad"
    assert [found.text[span.start : span.end] for span in found.spans] == found.text.split()
    assert abs(found.unexplained) <= found.tolerance
    with pytest.raises(InputError, match="label 'odd' is unknown to the model"):
        fitted.explain("the film", "odd")
