"""An exported model where nothing but numpy, tokenizers and onnxruntime is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.apps import tiny_classifiers as tiny
from ulmfit.apps.export import export_onnx
from ulmfit.apps.onnx_graph import Precision

PREDICT = """
import importlib.abc, json, sys

REQUIRED = {
    "accelerate", "huggingface_hub", "matplotlib", "onnx", "pandas", "pyarrow", "pydantic", "rich",
    "safetensors", "scipy", "sklearn", "torch", "typer",
}

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in REQUIRED:
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Missing())
from ulmfit.apps.onnx_runtime import OnnxClassifier

classifier = OnnxClassifier.load(sys.argv[1])
texts = json.load(sys.stdin)
answer = {"labels": classifier.predict(texts), "p": classifier.predict_proba(texts).tolist()}
print(json.dumps(answer))
assert not REQUIRED & {name.split(".")[0] for name in sys.modules}
"""

COMMAND = """
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "accelerate", "safetensors"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Missing())
from ulmfit.cli.main import run
sys.argv = ["ulmfit", *sys.argv[1:]]
run()
"""


def run(code: str, *arguments: object, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_runtime_needs_three_packages(tmp_path: Path, precision: Precision) -> None:
    predictor = tiny.counting(tiny.both())
    folder = export_onnx(predictor, tmp_path / "out", precision=precision).path
    found = json.loads(run(PREDICT, folder, stdin=json.dumps(tiny.TEXTS)))
    expected = predictor.predict_proba(tiny.TEXTS)
    limit = 1e-5 if precision == "fp32" else 0.02
    np.testing.assert_allclose(found["p"], expected, atol=limit)
    assert len(found["labels"]) == len(tiny.TEXTS)
    if precision == "fp32":
        assert found["labels"] == predictor.decide(expected)


def test_the_command_line_needs_no_torch(tmp_path: Path) -> None:
    predictor = tiny.both(labels=("glad", "sad"))
    folder = export_onnx(predictor, tmp_path / "out").path
    answer = json.loads(run(COMMAND, "predict", folder, "--text", tiny.TEXTS[0], "--json"))
    [row] = predictor.predict_proba(tiny.TEXTS[:1]).tolist()
    [found] = answer["predictions"]
    assert found["label"] == ("glad" if row[0] > row[1] else "sad")
    assert found["probabilities"] == pytest.approx(
        dict(zip(("glad", "sad"), row, strict=True)), abs=1e-5
    )
    data = tmp_path / "test.csv"
    data.write_text("text,label\nthe film was lovely,glad\nthe song was dull,sad\n")
    scores = json.loads(run(COMMAND, "evaluate", folder, data, "--json", "-q", "--threads", "1"))
    labels = predictor.decide(predictor.predict_proba(["the film was lovely", "the song was dull"]))
    wrong = (labels[0] != "glad") + (labels[1] != "sad")
    assert (scores["rows"], scores["wrong"]) == (2, wrong)
