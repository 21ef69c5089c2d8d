from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from ulmfit.artifacts import FolderContents
from ulmfit.errors import ModelFolderError
from ulmfit.stages.folder_config import (
    LabelForm,
    read_classifier_config,
    read_lm_config,
    read_metrics,
    read_tokenizer,
)

PATH = Path("some/model")
AGAIN = "Copy the whole folder again from where it came from, or train again."
LM: dict[str, Any] = {
    "kind": "language_model",
    "direction": "forward",
    "lm": {"vocab_size": 36, "emb_size": 6, "hidden_size": 8, "n_layers": 2},
    "info": {"corpus": "films"},
}
CLASSIFIER: dict[str, Any] = {
    "kind": "classifier",
    "direction": "backward",
    "classifier": {"lm": LM["lm"], "n_classes": 2},
    "labels": ["0", "1"],
}


def contents(config: dict[str, Any], **files: bytes) -> FolderContents:
    named = {name.replace("_", ".") + "on": value for name, value in files.items()}
    return FolderContents(PATH, config, named)


def lm_fault(**changes: Any) -> str:
    with pytest.raises(ModelFolderError) as caught:
        read_lm_config(contents({**LM, **changes}))
    return str(caught.value)


def classifier_fault(**changes: Any) -> str:
    with pytest.raises(ModelFolderError) as caught:
        read_classifier_config(contents({**CLASSIFIER, **changes}))
    return str(caught.value)


def test_language_model() -> None:
    found = read_lm_config(contents(LM))
    assert (found.direction, found.lm.vocab_size, found.info) == ("forward", 36, LM["info"])


def test_classifier() -> None:
    found = read_classifier_config(contents(CLASSIFIER))
    assert (found.direction, found.labels, found.classifier.chunk) == ("backward", ("0", "1"), 70)
    assert found.label_form == LabelForm(), "folders from before it was written are of strings"
    assert found.calibration.temperature == 1, "and not calibrated"


def test_other_kind_of_model() -> None:
    assert lm_fault(kind="classifier") == (
        "model folder 'some/model' is of kind 'classifier': expected 'language_model'. "
        "Give a folder that `ulmfit pretrain` or `ulmfit finetune-lm` made."
    )
    assert classifier_fault(kind="language_model") == (
        "model folder 'some/model' is of kind 'language_model': expected 'classifier'. "
        "Give a folder that `ulmfit train` or `ulmfit finetune-classifier` made."
    )
    with pytest.raises(ModelFolderError, match="is of kind None"):
        read_lm_config(contents({"architecture": "BertModel"}))


def test_unknown_key_may_be_of_a_newer_version() -> None:
    assert classifier_fault(temperature=1.5) == (
        "model folder 'some/model' is broken: config.json: key 'temperature' is unknown. "
        "It may come from a newer version: upgrade ulmfit."
    )
    sizes = {**LM["lm"], "qrnn": True}
    assert "config.json: key 'lm.qrnn' is unknown." in lm_fault(lm=sizes)


def test_all_faults_of_the_keys_are_named() -> None:
    fault = lm_fault(direction="sideways", lm={"vocab_size": "36"}, info=[])
    assert fault == (
        "model folder 'some/model' is broken: config.json: "
        "key 'direction': input should be 'forward' or 'backward'; "
        "key 'lm.vocab_size': input should be a valid integer; "
        f"key 'info': input should be an object. {AGAIN}"
    )
    assert "key 'lm' is missing" in str(_error({k: v for k, v in LM.items() if k != "lm"}))


def _error(config: dict[str, Any]) -> ModelFolderError:
    with pytest.raises(ModelFolderError) as caught:
        read_lm_config(contents(config))
    return caught.value


@pytest.mark.parametrize("bad", [{"vocab_size": 0}, {"vocab_size": -3}, {"vocab_size": 2.5}, 7])
def test_sizes_that_are_none(bad: object) -> None:
    assert lm_fault(lm=bad).startswith("model folder 'some/model' is broken: config.json: key 'lm")


def test_labels_are_one_per_class() -> None:
    assert classifier_fault(labels=["a", "b", "c"]) == (
        "model folder 'some/model' is broken: config.json: 3 different labels for 2 classes. "
        + AGAIN
    )
    assert "1 different labels for 2 classes" in classifier_fault(labels=["a", "a"])


@pytest.mark.parametrize(
    ("form", "labels", "fault"),
    [
        ({"kind": "integer"}, ["1", "good"], "invalid literal for int"),
        ({"kind": "number"}, ["1", "good"], "could not convert string to float"),
        ({"kind": "boolean"}, ["True", "yes"], "'yes' is not 'True' or 'False'"),
        ({"kind": "integer", "columns": 3}, ["0", "3"], "'3' is no column of 3"),
        ({"columns": ["x", "y"]}, ["x", "z"], "'z' is no column of ('x', 'y')"),
    ],
)
def test_labels_of_another_type_than_said(form: Any, labels: list[str], fault: str) -> None:
    assert f"config.json: label of the wrong type: {fault}" in classifier_fault(
        label_form=form, labels=labels
    )


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("string", "01", "01"),
        ("integer", "-3", -3),
        ("number", "2", 2.0),
        ("boolean", "True", True),
        ("boolean", "False", False),
    ],
)
def test_label_as_it_was_given(kind: Any, name: str, value: object) -> None:
    typed = LabelForm(kind=kind).typed(name)
    assert (typed, type(typed)) == (value, type(value))


def test_tokenizer() -> None:
    words = tiny.tokenizer()
    folder = contents(LM, tokenizer_js=words.to_json().encode())
    assert read_tokenizer(folder, words.vocab_size).digest == words.digest


def test_tokenizer_of_another_model() -> None:
    words = tiny.tokenizer()
    folder = contents(LM, tokenizer_js=words.to_json().encode())
    with pytest.raises(ModelFolderError) as caught:
        read_tokenizer(folder, 5_000)
    assert str(caught.value) == (
        f"model folder 'some/model' is broken: tokenizer.json: it has {words.vocab_size} entries, "
        f"config.json and the weights 5,000. The files are of different models. {AGAIN}"
    )


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\xff\xfe", "tokenizer.json: not UTF-8"),
        (b'{"model": {', "tokenizer.json is cut or broken"),
        (b"[]", "tokenizer.json was not written by ulmfit"),
        (b"{}", "tokenizer.json was not written by ulmfit"),
        (b'{"model": {"type": "BPE"}}', "tokenizer.json was not written by ulmfit"),
    ],
)
def test_tokenizer_that_is_none(content: bytes, fault: str) -> None:
    with pytest.raises(ModelFolderError) as caught:
        read_tokenizer(contents(LM, tokenizer_js=content), 36)
    assert str(caught.value).startswith(f"model folder 'some/model' is broken: {fault}")


def test_missing_tokenizer() -> None:
    with pytest.raises(ModelFolderError, match=r"'some/model' has no tokenizer\.json"):
        read_tokenizer(contents(LM), 36)


def test_metrics() -> None:
    assert read_metrics(contents(LM, metrics_js=json.dumps({"error": 0.1}).encode())) == {
        "error": 0.1
    }
    assert read_metrics(contents(LM)) == {}


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"{", "no JSON"), (b"\xff", "no JSON"), (b"[1]", "it is no JSON object"), (b"", "no JSON")],
)
def test_metrics_that_are_none(content: bytes, fault: str) -> None:
    with pytest.raises(ModelFolderError, match=rf"is broken: metrics\.json: {fault}"):
        read_metrics(contents(LM, metrics_js=content))
