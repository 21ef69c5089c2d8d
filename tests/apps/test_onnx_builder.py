from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec

import numpy as np
import onnx
import onnxruntime
import pytest

from ulmfit.apps import onnx_builder as module
from ulmfit.apps.onnx_builder import MICROSOFT, GraphBuilder, require_onnx
from ulmfit.errors import SettingsError


def affine(factor: float = 2.0) -> GraphBuilder:
    graph = GraphBuilder("affine")
    x = graph.input("x", np.float32, ("batch", 2))
    weight = graph.weight("w", np.eye(2, dtype=np.float32) * factor)
    bias = graph.weight("b", np.ones(2, np.float32))
    y = graph.node("Gemm", [x, weight, bias], ["y"], {"transB": 1, "alpha": 3.0})
    graph.output(y, np.float32, ("batch", 2))
    return graph


def test_a_graph_runs() -> None:
    session = onnxruntime.InferenceSession(affine().to_bytes(), providers=["CPUExecutionProvider"])
    [y] = session.run(None, {"x": np.array([[1, 2], [3, 4], [0, 0]], np.float32)})
    assert y.tolist() == [[7, 13], [19, 25], [1, 1]]


def test_the_same_graph_is_the_same_file() -> None:
    assert affine().to_bytes() == affine().to_bytes()
    assert affine().to_bytes() != affine(3.0).to_bytes()


def test_versions_are_old_enough_for_any_runtime_of_the_last_years() -> None:
    model = onnx.load_from_string(affine().to_bytes())
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    assert len(model.opset_import) == 1, "no domain that is not used"
    graph = affine()
    graph.node("Gelu", ["y"], ["z"], domain=MICROSOFT)
    graph.output("z", np.float32, ("batch", 2))
    domains = [entry.domain for entry in onnx.load_from_string(graph.to_bytes()).opset_import]
    assert domains == ["", MICROSOFT]


def test_a_weight_is_kept_once() -> None:
    graph = affine()
    assert graph.weight("w", np.zeros((2, 2), np.float32)) == "w"
    assert graph.to_bytes() == affine().to_bytes()


def test_more_than_a_file_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 20)
    with pytest.raises(SettingsError) as caught:
        affine().to_bytes()
    assert str(caught.value) == (
        "the weights of affine have 24 bytes: expected at most 20, which is what one ONNX file "
        "holds. Export with --int8, or train with a smaller vocabulary."
    )


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_onnx()
    known = importlib.util.find_spec

    def without_onnx(name: str) -> ModuleSpec | None:
        return None if name == "onnx" else known(name)

    monkeypatch.setattr(module, "find_spec", without_onnx)
    with pytest.raises(SettingsError) as caught:
        require_onnx()
    assert str(caught.value) == (
        "an export needs onnx, which is not installed. Install with: pip install 'ulmfit[onnx]'"
    )
