from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from ulmfit.apps.onnx_folder import is_exported, read_settings
from ulmfit.artifacts import FolderContents
from ulmfit.errors import ModelFolderError

CONFIG: dict[str, Any] = {
    "kind": "onnx_classifier",
    "precision": "int8",
    "directions": ["forward", "backward"],
    "classifier": {"multi_label": False, "chunk": 70, "pool_tokens": None, "n_classes": 2},
    "labels": ["neg", "pos"],
    "threshold": 0.5,
    "calibration": {"version": 1, "temperature": 1.25},
    "state": {"h0": 8, "c0": 8, "maximum": 8},
}
AGAIN = "Copy the whole folder again from where it came from, or export again."


def read(**changes: Any) -> Any:
    return read_settings(FolderContents(Path("out"), {**CONFIG, **changes}, {}))


def problem(**changes: Any) -> str:
    with pytest.raises(ModelFolderError) as caught:
        read(**changes)
    return str(caught.value)


def test_settings_are_read() -> None:
    settings = read()
    assert (settings.precision, settings.directions) == ("int8", ("forward", "backward"))
    assert (settings.labels, settings.multi_label) == (("neg", "pos"), False)
    assert (settings.threshold, settings.chunk, settings.pool_tokens) == (0.5, 70, None)
    assert settings.state == (("h0", 8), ("c0", 8), ("maximum", 8))
    assert settings.temperature == 1.25
    assert settings.outputs == ["logits", "next_h0", "next_c0", "next_maximum"]
    window = {**CONFIG["classifier"], "pool_tokens": 1400, "multi_label": True}
    assert read(classifier=window).pool_tokens == 1400
    assert read(classifier=window).multi_label
    assert is_exported(CONFIG)


def test_another_kind_of_folder_is_named() -> None:
    assert not is_exported({"kind": "classifier"})
    assert problem(kind="classifier") == (
        "model folder 'out' is of kind 'classifier': expected 'onnx_classifier'. "
        "Give a folder that `ulmfit export` made."
    )


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"directions": []}, "key 'directions' is []"),
        ({"directions": ["forward", "forward"]}, "key 'directions' is ['forward', 'forward']"),
        ({"directions": ["../other"]}, "key 'directions' is ['../other']"),
        ({"labels": []}, "key 'labels' has a label twice, or none"),
        ({"labels": ["a", "a"]}, "key 'labels' has a label twice, or none"),
        (
            {"calibration": {"temperature": 1, "version": 2}},
            "key 'calibration.version' is 2, not 1",
        ),
        ({"calibration": {"temperature": 0, "version": 1}}, "key 'calibration.temperature' is 0.0"),
        (
            {"calibration": {"temperature": math.inf, "version": 1}},
            "key 'calibration.temperature' is inf",
        ),
        ({"threshold": "high"}, "could not convert string to float: 'high'"),
        ({"state": {"h0": "wide"}}, "invalid literal for int() with base 10: 'wide'"),
        ({"state": []}, "'list' object has no attribute 'items'"),
        ({"classifier": {"chunk": 70, "multi_label": True}}, "key 'pool_tokens' is missing"),
        (
            {"classifier": {"chunk": 0, "multi_label": True, "pool_tokens": None}},
            "key 'classifier.chunk' is 0",
        ),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], fault: str) -> None:
    assert problem(**changes) == f"model folder 'out' is broken: config.json: {fault}. {AGAIN}"
