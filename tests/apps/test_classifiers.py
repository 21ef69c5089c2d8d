from __future__ import annotations

from pathlib import Path

import pytest

from tests.apps import tiny_classifiers as tiny
from ulmfit.apps.classifiers import load_classifier
from ulmfit.apps.export import export_onnx
from ulmfit.apps.onnx_runtime import OnnxClassifier
from ulmfit.apps.predictor import Predictor
from ulmfit.errors import ModelFolderError, SettingsError


def test_either_kind_of_folder_is_loaded(tmp_path: Path) -> None:
    tiny.both().save(tmp_path / "model")
    out = export_onnx(tiny.both(), tmp_path / "out").path
    model, exported = load_classifier(tmp_path / "model", "cpu"), load_classifier(out, "cpu", 1)
    assert isinstance(model, Predictor)
    assert isinstance(exported, OnnxClassifier)
    expected = model.predict_proba(tiny.TEXTS)
    assert abs(exported.predict_proba(tiny.TEXTS) - expected).max() < 1e-5
    assert exported.labels == model.labels
    with pytest.raises(SettingsError) as caught:
        load_classifier(out, "cuda")
    assert str(caught.value) == (
        f"device 'cuda': '{out}' is an exported model: expected cpu, where exported models run. "
        "The model that it was made from runs on other devices."
    )
    with pytest.raises(SettingsError) as caught:
        load_classifier(out, int8=True)
    assert str(caught.value).startswith(f"'{out}' was exported in fp32: expected an export in int8")
    with pytest.raises(ModelFolderError, match="does not exist"):
        load_classifier(tmp_path / "no")
