from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.apps.tiny_classifiers import counting
from ulmfit.apps import text_blocks
from ulmfit.apps.predictor import Predictor, choose_device
from ulmfit.artifacts import CONFIG, NGRAMS, read_folder, write_folder
from ulmfit.config import ClassifierConfig, Direction
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError, ModelFolderError, SettingsError
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel
from ulmfit.stages.classifier_folder import TrainedClassifier
from ulmfit.stages.folder_config import LabelForm
from ulmfit.stages.lm_folder import WORK_FOLDER
from ulmfit.stages.ngrams import LANGUAGE_MODELS

WORDS = tiny.tokenizer()
TEXTS = [
    *tiny.labelled_texts(30, seed=3)[0],
    "",
    "unknown words only",
    "lovely",
    "the film was great . " * 60,
]
FILES = ("config.json", "model.safetensors", "tokenizer.json", "metrics.json", "log.jsonl")
AGAIN = "Copy the folder again from where it came from, or train again."


def member(
    direction: Direction = "forward",
    *,
    labels: tuple[str, ...] = ("glad", "sad"),
    words: Tokenizer = WORDS,
    multi_label: bool = False,
) -> TrainedClassifier:
    """A classifier that has learnt nothing, but does not answer all texts alike either."""
    torch.manual_seed(len(direction))
    config = ClassifierConfig(
        lm=tiny.lm_config(words.vocab_size),
        n_classes=len(labels),
        chunk=7,
        multi_label=multi_label,
    )
    model = TextClassifierModel(config, tiny.NO_DROPOUT, HeadDropouts())
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    weights["encoder.embedding.weight"] *= 20
    weights["head.linear2.weight"] *= 20
    return TrainedClassifier(
        config, direction, labels, words, weights, metrics={"error": 0.25}, log=b'{"a": 1}\n'
    )


@pytest.fixture(scope="module")
def both() -> Predictor:
    return Predictor([member("forward"), member("backward")], {"test_error": 0.5})


def test_one_text_gets_the_same_answer_however_batched(both: Predictor) -> None:
    together = both.predict_proba(TEXTS)
    assert np.ptp(together[:, 0]) > 0.05, "the texts are told apart"
    alone = np.concatenate([both.predict_proba([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = both.predict_proba([TEXTS[i] for i in order])
    np.testing.assert_allclose(shuffled, together[order], atol=1e-5)
    np.testing.assert_array_equal(both.predict_proba(TEXTS), together)


def test_members_are_averaged(both: Predictor) -> None:
    forward, backward = (Predictor([part]).predict_proba(TEXTS) for part in both.members)
    np.testing.assert_allclose(both.predict_proba(TEXTS), (forward + backward) / 2, atol=1e-6)
    np.testing.assert_allclose(both.predict_proba(TEXTS).sum(axis=1), 1, atol=1e-6)


def test_backward_model_reads_from_the_end() -> None:
    backward = Predictor([member("backward")])
    turned = Predictor([replace(member("backward"), direction="forward")])
    assert abs(backward.predict_proba(TEXTS) - turned.predict_proba(TEXTS)).max() > 1e-4
    symmetric = [text for text in TEXTS if len(WORDS.encode(text)) == 1]
    np.testing.assert_array_equal(
        backward.predict_proba(symmetric), turned.predict_proba(symmetric)
    )


def test_probabilities_of_several_labels_stand_alone() -> None:
    several = Predictor([member(labels=("a", "b", "c"), multi_label=True)])
    probabilities = several.predict_proba(TEXTS)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert several.decide(np.array([[0.9, 0.5, 0.6], [0.1, 0.2, 0.3]], dtype=np.float32)) == [
        ("a", "c"),
        (),
    ]


@pytest.mark.parametrize("multi_label", [False, True])
def test_great_scores_do_not_overflow(multi_label: bool) -> None:
    part = member(multi_label=multi_label)
    part.weights["head.linear2.bias"].copy_(torch.tensor([3e4, -3e4]))
    assert Predictor([part]).predict_proba(["a"]).tolist() == [[1.0, 0.0]]


def test_most_probable_class_is_decided_for(both: Predictor) -> None:
    probabilities = np.array([[0.4, 0.6], [0.5, 0.5]], dtype=np.float32)
    assert both.decide(probabilities) == ["sad", "glad"]


def test_no_texts(both: Predictor) -> None:
    assert both.predict_proba([]).shape == (0, 2)
    assert list(both.stream([])) == []
    assert both.decide(both.predict_proba([])) == []


def test_one_bare_string_is_refused(both: Predictor) -> None:
    for ask in (both.predict_proba, both.scores):
        with pytest.raises(InputError, match="texts is one string: expected a list of texts"):
            ask("a text")


def test_stream_reads_no_further_than_it_must(
    both: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_blocks, "BLOCK_TEXTS", 4)
    read = []

    def texts() -> Iterator[str]:
        for text in TEXTS:
            read.append(text)
            yield text

    blocks = both.stream(texts())
    first = next(blocks)
    assert (len(first), len(read)) == (4, 4)
    np.testing.assert_allclose(
        np.concatenate([first, *blocks]), both.predict_proba(TEXTS), atol=1e-5
    )


def test_folder_brings_everything_back(both: Predictor, tmp_path: Path) -> None:
    both.save(tmp_path / "m")
    found = Predictor.load(tmp_path / "m", device="cpu")
    assert found.device == "cpu"
    np.testing.assert_array_equal(found.predict_proba(TEXTS), both.predict_proba(TEXTS))
    assert (found.labels, found.multi_label) == (("glad", "sad"), False)
    assert found.metrics == {"error": 0.25, "test_error": 0.5}
    assert [part.direction for part in found.members] == ["forward", "backward"]
    assert [part.log for part in found.members] == [b'{"a": 1}\n'] * 2
    assert json.loads((tmp_path / "m" / "backward" / "metrics.json").read_text()) == {"error": 0.25}
    assert found.card() == both.card() == (tmp_path / "m" / "README.md").read_text()
    assert "- test error: 50.00%" in found.card()


def test_the_member_that_counts_words_comes_back(both: Predictor, tmp_path: Path) -> None:
    predictor = counting(both)
    predictor.save(tmp_path / "model")
    expected = predictor.predict_proba(TEXTS)
    for again in (Predictor.load(tmp_path / "model"), pickle.loads(pickle.dumps(predictor))):
        np.testing.assert_array_equal(again.predict_proba(TEXTS), expected)
    assert predictor.ngrams is not None
    assert (
        f"a bag of {len(predictor.ngrams.keys):,} words"
        in (tmp_path / "model" / "README.md").read_text()
    )
    predictor.device = "cuda"  # where it was trained; here there is none
    if not torch.cuda.is_available():
        assert pickle.loads(pickle.dumps(predictor)).device == "auto"
    predictor.device = "auto"
    alone = predictor.members_alone(TEXTS, expected)
    np.testing.assert_allclose(alone[LANGUAGE_MODELS], both.predict_proba(TEXTS), atol=1e-4)
    assert both.members_alone(TEXTS, expected) == predictor.members_alone([], expected[:0]) == {}
    both.save(tmp_path / "model")
    assert not (tmp_path / "model" / NGRAMS).exists()


def test_a_member_of_another_model_is_refused(tmp_path: Path) -> None:
    counting(Predictor([member()], device="cpu")).save(tmp_path / "model")
    contents = read_folder(tmp_path / "model")
    cut = contents.files[NGRAMS][:-8]
    config = json.dumps(contents.config).encode()
    write_folder(tmp_path / "model", {**contents.files, CONFIG: config, NGRAMS: cut})
    with pytest.raises(ModelFolderError, match=re.escape(NGRAMS)):
        Predictor.load(tmp_path / "model")


def test_log_and_metrics_of_the_whole_run(both: Predictor, tmp_path: Path) -> None:
    found = Predictor(both.members)
    assert Predictor(both.members, {"error": 0.5}).metrics["error"] == 0.5
    found.metrics.update({"test_error": 0.125})
    found.save(tmp_path / "m", log=b"{}\n")
    assert (tmp_path / "m" / "log.jsonl").read_bytes() == b"{}\n"
    assert json.loads((tmp_path / "m" / "metrics.json").read_text()) == {
        "error": 0.25,
        "test_error": 0.125,
    }


def test_folder_is_replaced_by_one_of_one_direction(both: Predictor, tmp_path: Path) -> None:
    both.save(tmp_path / "m")
    (tmp_path / "m" / "notes.txt").write_text("mine")
    Predictor([member("backward")]).save(tmp_path / "m")
    assert Predictor.load(tmp_path / "m").members[0].direction == "backward"
    assert not (tmp_path / "m" / "backward").exists()
    assert (tmp_path / "m" / "notes.txt").read_text() == "mine"


def test_a_folder_that_has_only_the_work_of_a_run_is_taken(both: Predictor, tmp_path: Path) -> None:
    (tmp_path / WORK_FOLDER / "forward").mkdir(parents=True)
    both.save(tmp_path)
    assert (tmp_path / WORK_FOLDER / "forward").is_dir()


def test_label_form_is_kept_by_all_members(both: Predictor, tmp_path: Path) -> None:
    form = LabelForm(kind="integer")
    numbers = Predictor([member(labels=("1", "2")), member("backward", labels=("1", "2"))])
    numbers.with_label_form(form).save(tmp_path / "m")
    assert numbers.label_form == LabelForm()
    assert Predictor.load(tmp_path / "m").label_form == form


OTHERS: dict[str, tuple[Callable[[], TrainedClassifier], str]] = {
    "direction": (lambda: member("forward"), "both are forward"),
    "labels": (
        lambda: member("backward", labels=("good", "bad")),
        "its labels are ['good', 'bad'], not ['glad', 'sad']",
    ),
    "order": (lambda: member("backward", labels=("sad", "glad")), "its labels are ['sad', 'glad']"),
    "several": (
        lambda: member("backward", multi_label=True),
        "only one of the two gives several labels",
    ),
    "vocabulary": (
        lambda: member("backward", words=WORDS.with_vocab([*WORDS.vocab[:-1], "other"])),
        "its tokenizer.json is different",
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_directions_of_different_models(other: str, tmp_path: Path) -> None:
    make, fault = OTHERS[other]
    with pytest.raises(SettingsError) as caught:
        Predictor([member("forward"), make()])
    assert str(caught.value).startswith(f"these classifiers cannot answer as one: {fault}")
    inner = {f"backward/{name}": content for name, content in make().files().items()}
    write_folder(tmp_path / "m", {**member("forward").files(), **inner})
    with pytest.raises(ModelFolderError) as refused:
        Predictor.load(tmp_path / "m")
    assert str(refused.value).startswith(
        f"model folder '{tmp_path}/m' is broken: backward/ is of another model: {fault}"
    )


def test_labels_of_different_types() -> None:
    other = replace(member("backward"), label_form=LabelForm(kind="boolean"))
    with pytest.raises(SettingsError, match="its labels are of another type"):
        Predictor([member("forward"), other])


def test_no_members() -> None:
    with pytest.raises(SettingsError, match="cannot answer as one: there is none"):
        Predictor([])


def fault(path: Path) -> str:
    with pytest.raises(ModelFolderError) as caught:
        Predictor.load(path)
    return str(caught.value)


@pytest.mark.parametrize("inner", ["", "backward/"])
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_named(both: Predictor, tmp_path: Path, name: str, inner: str) -> None:
    path = tmp_path / "m"
    both.save(path)
    file = path / (inner + name)
    content = file.read_bytes()

    file.unlink()
    message = fault(path)
    if inner + name == "config.json":
        assert message == f"'{path}' is not a model folder: expected a folder with config.json."
    else:
        assert message == f"model folder '{path}' is broken: {inner}{name} is missing. {AGAIN}"

    file.write_bytes(content[: len(content) // 2])
    assert f"model folder '{path}' is broken: {inner}{name} is cut" in fault(path)

    file.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    message = fault(path)
    assert message.startswith(f"model folder '{path}' is broken: {inner}{name} ")
    assert "was altered (its SHA-256 differs)" in message or "is not JSON" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"architectures": ["BertModel"]}', "is not a model folder of ulmfit"),
        (b"[1, 2]", "is not a model folder of ulmfit"),
        (b"7", "is not a model folder of ulmfit"),
        (b'"text"', "is not a model folder of ulmfit"),
        (b'{"format": 1}', "is not a model folder of ulmfit"),
        (b"[" * 100_000, "config.json is cut or is not JSON"),
        (b"\x80\x03}q", "config.json is cut or is not JSON"),
        (b"", "config.json is cut or is not JSON"),
        (
            b'{"format": {"version": 99, "written_by": "ulmfit 9.0"}}',
            "has format version 99 (written by ulmfit 9.0): expected version 1 or older. "
            "Upgrade ulmfit.",
        ),
    ],
)
def test_config_of_something_else(
    both: Predictor, tmp_path: Path, content: bytes, message: str
) -> None:
    both.save(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_bytes(content)
    assert message in fault(tmp_path / "m")


def rewritten(path: Path, **changes: Any) -> Path:
    """A whole and sealed folder whose config.json says other things."""
    files = member().files()
    config = {**json.loads(files["config.json"]), **changes}
    write_folder(path, {**files, "config.json": json.dumps(config).encode()})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "language_model"}, "is of kind 'language_model': expected 'classifier'"),
        ({"thresholds": {}}, "key 'thresholds' is unknown. It may come from a newer version"),
        ({"calibration": {"version": 2}}, "key 'calibration.version': input should be 1"),
        ({"calibration": {"temperature": 0.0}}, "key 'calibration.temperature': input should be"),
        ({"labels": ["glad"]}, "1 different labels for 2 classes"),
        ({"labels": "glad"}, "key 'labels': input should be a valid"),
        ({"direction": None}, "key 'direction': input should be 'forward' or 'backward'"),
        ({"classifier": {}}, "key 'classifier.lm' is missing; key 'classifier.n_classes' is"),
    ],
)
def test_config_that_cannot_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert message in fault(rewritten(tmp_path / "m", **changes))


def test_folders_that_are_none(tmp_path: Path) -> None:
    assert "does not exist" in fault(tmp_path / "none")
    (tmp_path / "file").write_text("")
    assert "is a file" in fault(tmp_path / "file")
    assert "is not a model folder: expected a folder with config.json" in fault(tmp_path)


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    there = torch.cuda.is_available() or torch.backends.mps.is_available()
    assert (choose_device().type == "cpu") is not there
    with pytest.raises(SettingsError, match=r"device 'cuda:1' is unknown: .* CUDA_VISIBLE_DEVICES"):
        choose_device("cuda:1")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_device_that_is_not_there(both: Predictor) -> None:
    with pytest.raises(SettingsError, match=r"device 'cuda' is not on this machine: expected"):
        Predictor(both.members, device="cuda")
