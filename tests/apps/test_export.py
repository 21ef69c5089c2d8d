from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.apps import tiny_classifiers as tiny
from ulmfit.apps import export as module
from ulmfit.apps.export import check_texts, compare, export_onnx
from ulmfit.apps.onnx_graph import Precision, classifier_graph
from ulmfit.apps.onnx_runtime import OnnxClassifier
from ulmfit.artifacts import read_folder
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import ExportError, SettingsError

FILES = {"README.md", "backward.onnx", "config.json", "forward.onnx", "tokenizer.json"}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_folder_is_written_and_checked(tmp_path: Path, precision: Precision) -> None:
    exported = export_onnx(tiny.both(), tmp_path / "out", precision=precision)
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert exported.files == {name: (tmp_path / "out" / name).stat().st_size for name in FILES}
    found = exported.agreement
    assert found.texts == 84
    assert found.mean <= found.largest < (1e-5 if precision == "fp32" else 0.02)
    assert found.same_label > 0.95
    contents = read_folder(tmp_path / "out")  # checks the digests
    assert contents.config["agreement"]["largest"] == found.largest
    for name in ("forward.onnx", "backward.onnx"):
        onnx.checker.check_model(onnx.load_from_string(contents.files[name]))


def test_the_same_model_gives_the_same_files(tmp_path: Path) -> None:
    first, second = (
        read_folder(export_onnx(tiny.both(), tmp_path / name, precision="int8").path)
        for name in ("a", "b")
    )
    assert first.files == second.files
    assert first.config == second.config


def test_an_export_replaces_an_export_and_nothing_else(tmp_path: Path) -> None:
    out = export_onnx(tiny.both(), tmp_path / "out").path
    (out / "notes.txt").write_text("mine")
    export_onnx(tiny.both(), out, precision="int8")
    assert OnnxClassifier.load(out, threads=1).settings.precision == "int8"
    assert (out / "notes.txt").read_text() == "mine"
    tiny.both().save(tmp_path / "model")
    before = (tmp_path / "model" / "config.json").read_bytes()
    with pytest.raises(SettingsError) as caught:
        export_onnx(tiny.both(), tmp_path / "model")
    assert str(caught.value) == (
        f"folder '{tmp_path}/model' holds a model of kind 'classifier': expected a new or empty "
        "folder, or an earlier export. Choose another folder; nothing was changed."
    )
    assert (tmp_path / "model" / "config.json").read_bytes() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="is a file: expected a folder"):
        export_onnx(tiny.both(), tmp_path / "file")


def test_a_graph_that_answers_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(config: Any, weights: Any, precision: Precision) -> bytes:
        bias = weights["head.linear2.bias"].copy()
        bias += [0.5, -0.5, 0.0]
        return classifier_graph(config, {**weights, "head.linear2.bias": bias}, precision)

    monkeypatch.setattr(module, "classifier_graph", wrong)
    with pytest.raises(ExportError) as caught:
        export_onnx(tiny.both(), tmp_path / "out")
    message = str(caught.value)
    assert re.match(r"probabilities of the exported fp32 model differ by 0\.\d+ at most", message)
    assert " from those in torch, on 84 texts: expected up to 0.0001. Nothing was" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_answers_that_are_no_numbers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(config: Any, weights: Any, precision: Precision) -> bytes:
        bias = np.full_like(weights["head.linear2.bias"], np.nan)
        return classifier_graph(config, {**weights, "head.linear2.bias": bias}, precision)

    monkeypatch.setattr(module, "classifier_graph", wrong)
    with pytest.raises(ExportError, match="of the exported fp32 model differ by nan at most"):
        export_onnx(tiny.both(), tmp_path / "out")


def test_eight_bits_that_are_too_few_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIMIT_INT8", 1e-6)
    export_onnx(tiny.both(), tmp_path / "exact")
    with pytest.raises(ExportError) as caught:
        export_onnx(tiny.both(), tmp_path / "out", precision="int8")
    message = str(caught.value)
    assert message.startswith("probabilities of the exported int8 model differ by ")
    assert " on average from those in torch, on 84 texts: " in message
    assert message.endswith("expected up to 1e-06. Export without --int8.")
    assert not (tmp_path / "out").exists()


def test_agreement_counts_probabilities_and_labels() -> None:
    predictor = tiny.both()
    expected = np.array([[0.6, 0.3, 0.1], [0.2, 0.4, 0.4], [0.5, 0.3, 0.2]], np.float32)
    found = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.3, 0.5, 0.2]], np.float32)
    agreement = compare(predictor, expected, found)
    assert agreement.texts == 3
    assert agreement.same_label == pytest.approx(1 / 3)
    assert agreement.largest == pytest.approx(0.2)
    assert agreement.mean == pytest.approx(0.1)


def test_checks_are_real_long_short_and_in_the_models_own_words() -> None:
    korean = Tokenizer.train(["정말 재미있는 영화 였다"] * 3, vocab_size=50)
    texts = check_texts(korean)
    assert texts == check_texts(korean)
    lengths = [len(ids) for ids in korean.encode_batch(texts)]
    assert min(lengths) == 1
    assert max(lengths) > 1000
    assert sum("재미있는" in text for text in texts) > 10
    assert texts[0].endswith("?")
