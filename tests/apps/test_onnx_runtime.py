from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as RustTokenizer

from tests.apps import tiny_classifiers as tiny
from tests.apps.test_onnx_graph import Graph
from ulmfit.apps.export import export_onnx
from ulmfit.apps.onnx_graph import Precision
from ulmfit.apps.onnx_runtime import OnnxClassifier
from ulmfit.apps.predictor import Predictor
from ulmfit.artifacts import CONFIG, NGRAMS, read_folder, write_folder
from ulmfit.errors import InputError, ModelFolderError, SettingsError

TEXTS = tiny.TEXTS
AGAIN = "Copy the whole folder again from where it came from, or export again."
Exporter = Callable[..., OnnxClassifier]


@pytest.fixture
def exported(tmp_path: Path) -> Exporter:
    def export(predictor: Predictor, precision: Precision = "fp32") -> OnnxClassifier:
        folder = export_onnx(predictor, tmp_path / "out", precision=precision).path
        return OnnxClassifier.load(folder, threads=1)

    return export


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(tiny.both(), tmp_path_factory.mktemp("exported") / "out").path


@pytest.mark.parametrize("multi_label", [False, True])
def test_it_counts_words_as_torch_does(exported: Exporter, multi_label: bool) -> None:
    plain = tiny.both(multi_label=multi_label, temperature=1.4)
    predictor = tiny.counting(plain)
    classifier = exported(predictor)
    expected = predictor.predict_proba(TEXTS)
    assert np.abs(expected - plain.predict_proba(TEXTS)).max() > 0.05
    found = classifier.predict_proba(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    alone = predictor.members_alone(TEXTS, expected)
    again = classifier.members_alone(TEXTS, found)
    assert alone.keys() == again.keys() != set()
    for name, p in alone.items():
        np.testing.assert_allclose(again[name], p, atol=1e-3)


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    folder = export_onnx(tiny.counting(tiny.both()), tmp_path / "out").path
    contents = read_folder(folder)
    config = json.dumps(contents.config).encode()
    cut = contents.files[NGRAMS][:-8]
    write_folder(folder, {**contents.files, CONFIG: config, NGRAMS: cut}, needed=())
    with pytest.raises(ModelFolderError, match=re.escape(NGRAMS)) as caught:
        OnnxClassifier.load(folder)
    assert caught.value.hint == AGAIN


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("pool_tokens", [None, 14])
def test_it_answers_as_torch_does_however_batched(
    exported: Exporter, multi_label: bool, pool_tokens: int | None
) -> None:
    predictor = tiny.both(multi_label=multi_label, pool_tokens=pool_tokens)
    classifier = exported(predictor)
    expected = predictor.predict_proba(TEXTS)
    assert np.ptp(expected, axis=0).max() > 0.05, "the texts are told apart"
    together = classifier.predict_proba(TEXTS)
    np.testing.assert_allclose(together, expected, atol=1e-5)
    alone = np.concatenate([classifier.predict_proba([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, expected, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = classifier.predict_proba([TEXTS[i] for i in order])
    np.testing.assert_allclose(shuffled, expected[order], atol=1e-5)
    np.testing.assert_array_equal(classifier.predict_proba(TEXTS), together)
    assert classifier.predict(TEXTS) == predictor.decide(expected)
    assert (classifier.labels, classifier.multi_label) == (predictor.labels, multi_label)


def test_small_groups_give_the_same_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = OnnxClassifier.load(folder, threads=1)
    expected = classifier.predict_proba(TEXTS)
    monkeypatch.setattr("ulmfit.apps.onnx_runtime.STEP_TOKENS", 20)
    monkeypatch.setattr("ulmfit.apps.text_blocks.BLOCK_TEXTS", 5)
    np.testing.assert_allclose(classifier.predict_proba(TEXTS), expected, atol=1e-5)
    assert [len(block) for block in classifier.stream(TEXTS)] == [5] * 7


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_each_direction_alone(exported: Exporter, direction: Any) -> None:
    predictor = Predictor([tiny.member(direction)], device="cpu")
    classifier = exported(predictor)
    expected = predictor.predict_proba(TEXTS)
    np.testing.assert_allclose(classifier.predict_proba(TEXTS), expected, atol=1e-5)
    assert classifier.settings.directions == (direction,)


def test_directions_are_averaged(exported: Exporter) -> None:
    both = tiny.both()
    forward, backward = (
        exported(Predictor([part], device="cpu")).predict_proba(TEXTS) for part in both.members
    )
    assert abs(forward - backward).max() > 0.01
    np.testing.assert_allclose(
        exported(both).predict_proba(TEXTS), (forward + backward) / 2, atol=1e-6
    )


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_calibration_comes_along(exported: Exporter, multi_label: bool, temperature: float) -> None:
    predictor = tiny.both(multi_label=multi_label, temperature=temperature)
    expected = predictor.predict_proba(TEXTS)
    assert abs(expected - tiny.both(multi_label=multi_label).predict_proba(TEXTS)).max() > 0.05
    classifier = exported(predictor)
    np.testing.assert_allclose(classifier.predict_proba(TEXTS), expected, atol=1e-5)
    limit = float(np.median(expected.max(axis=1)))
    found, answers = classifier.abstaining(limit).predict_proba(TEXTS), classifier.answers(expected)
    np.testing.assert_array_equal(found, classifier.predict_proba(TEXTS))
    assert list(answers) == predictor.decide(expected)
    left_out = classifier.abstaining(limit).answers(expected)
    assert list(left_out) == list(predictor.abstaining(limit).answers(expected))
    assert None in left_out
    with pytest.raises(SettingsError, match="min_confidence is 2: expected a probability"):
        classifier.abstaining(2)


def test_eight_bits_are_near(exported: Exporter) -> None:
    predictor = tiny.both()
    expected = predictor.predict_proba(TEXTS)
    classifier = exported(predictor, "int8")
    assert 0 < abs(classifier.predict_proba(TEXTS) - expected).max() < 0.02
    alone = np.concatenate([classifier.predict_proba([text]) for text in TEXTS])
    assert abs(alone - expected).max() < 0.02
    assert classifier.settings.precision == "int8"


def test_nothing_to_answer(folder: Path) -> None:
    classifier = OnnxClassifier.load(folder)
    assert classifier.predict_proba([]).shape == (0, 3)
    assert classifier.predict([]) == []
    with pytest.raises(InputError, match="texts is one string: expected a list of texts"):
        classifier.predict_proba("a text")
    with pytest.raises(InputError, match=r"text 1 .* is None of type NoneType: expected a string"):
        classifier.predict_proba(["a", None])  # type: ignore[list-item]


def test_several_threads_may_ask_at_once(folder: Path) -> None:
    classifier = OnnxClassifier.load(folder, threads=1)
    expected = classifier.predict_proba(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(classifier.predict_proba, [TEXTS] * 8):
            np.testing.assert_array_equal(found, expected)


def test_the_loop_of_the_readme_gives_the_same_answers(folder: Path) -> None:
    """Ids from the Rust library alone, all documents in one batch, chunks of 7."""
    classifier = OnnxClassifier.load(folder)
    rust = RustTokenizer.from_file(str(folder / "tokenizer.json"))
    answers = []
    for direction in ("forward", "backward"):
        documents = [rust.encode(text).ids for text in TEXTS]
        if direction == "backward":
            documents = [ids[::-1] for ids in documents]
        lengths = np.array([len(ids) for ids in documents])
        tokens = np.zeros((len(documents), lengths.max()), np.int64)
        for row, ids in enumerate(documents):
            tokens[row, : len(ids)] = ids
        graph = Graph(tiny.member(direction))
        assert graph.content == (folder / f"{direction}.onnx").read_bytes()
        answers.append(graph.chunks(tokens, lengths, 7))
    found = np.mean(answers, axis=0)
    np.testing.assert_allclose(classifier.predict_proba(TEXTS), found, atol=1e-6)


def broken(path: Path) -> str:
    with pytest.raises(ModelFolderError) as caught:
        OnnxClassifier.load(path)
    return str(caught.value)


def copy(folder: Path, target: Path, **changes: Any) -> Path:
    """The export with other files or settings, and digests that fit."""
    contents = read_folder(folder)
    files: dict[str, bytes | Path] = {**contents.files}
    files |= {name: value for name, value in changes.items() if isinstance(value, bytes)}
    other = {name: value for name, value in changes.items() if not isinstance(value, bytes)}
    files["config.json"] = json.dumps({**contents.config, **other}).encode()
    write_folder(target, files, needed=())
    return target


def test_folders_of_something_else_are_refused(tmp_path: Path, folder: Path) -> None:
    assert broken(tmp_path / "no") == (
        f"model folder '{tmp_path}/no' does not exist: expected a folder with config.json."
    )
    tiny.both().save(tmp_path / "model")
    assert broken(tmp_path / "model") == (
        f"model folder '{tmp_path}/model' is of kind 'classifier': expected 'onnx_classifier'. "
        "Give a folder that `ulmfit export` made."
    )
    with pytest.raises(ModelFolderError, match="is of kind 'onnx_classifier': expected 'classifi"):
        Predictor.load(folder)


def test_damage_is_named(tmp_path: Path, folder: Path) -> None:
    path = copy(folder, tmp_path / "cut")
    content = (path / "backward.onnx").read_bytes()
    (path / "backward.onnx").write_bytes(content[:100])
    (path / "tokenizer.json").unlink()
    message = broken(path)
    assert f"backward.onnx is cut (100 of {len(content):,} bytes)" in message
    assert "tokenizer.json is missing" in message


def test_files_that_do_not_fit_together_are_named(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "other"
    message = broken(copy(folder, path, **{"forward.onnx": b"no graph"}))
    assert message.startswith(f"model folder '{path}': forward.onnx does not load (")
    assert "Update onnxruntime. If that does not help: Copy the whole folder again" in message
    message = broken(copy(folder, path, labels=["glad", "sad"]))
    assert f"model folder '{path}' is broken: forward.onnx: its outputs are" in message
    message = broken(copy(folder, path, state={"h0": 8}))
    assert "forward.onnx: its inputs are {'tokens': 'time', 'remaining': 'batch', 'h0': 8," in (
        message
    )
    message = broken(copy(folder, path, **{"tokenizer.json": b"{}"}))
    assert message == (
        f"model folder '{path}' is broken: tokenizer.json was not written by ulmfit. {AGAIN}"
    )
    message = broken(copy(folder, path, directions=["forward"], **{"forward.onnx": b""}))
    assert "forward.onnx does not load" in message
