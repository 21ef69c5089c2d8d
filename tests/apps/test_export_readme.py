from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load

from tests.apps import tiny_classifiers as tiny
from ulmfit.apps.export import export_onnx
from ulmfit.apps.export_readme import export_readme
from ulmfit.artifacts import read_folder
from ulmfit.data.rules import SPECIALS

SIZES = {"chunk": 70, "pool_tokens": 1400, "multi_label": True, "n_classes": 5}
SETTINGS: dict[str, Any] = {
    "precision": "int8",
    "directions": ["backward"],
    "classifier": SIZES,
    "threshold": 0.5,
    "calibration": {"version": 1, "temperature": 2.0},
    "state": {"h0": 4, "c0": 4, "n_pooled": 1},
    "ngrams": None,
    "agreement": {"texts": 84, "largest": 0.0123, "mean": 0.001, "same_label": 1.0},
}


def test_it_names_every_input_and_shape(tmp_path: Path) -> None:
    out = export_onnx(tiny.both(), tmp_path / "out").path
    readme = (out / "README.md").read_text("utf-8")
    settings = read_folder(out).config
    assert readme == export_readme(settings)
    for name, size in settings["state"].items():
        assert f"| `{name}` | float32 | batch, {size} | " in readme
    assert "| `h0` | float32 | batch, 8 | hidden state of layer 1 |" in readme
    assert "| `probabilities` | float32 | batch, 3 | of each class" in readme
    assert "`forward.onnx` and `backward.onnx`" in readme
    assert "4. Average the probabilities of the two graphs." in readme
    assert "for start in 0, 7, 2 * 7, ... while" in readme
    assert "A chunk may be of any size: the answer is the same." in readme
    assert "a text has the most probable one." in readme
    assert "eight bits" not in readme


def test_it_says_what_is_special_about_a_model() -> None:
    settings = dict(SETTINGS)
    readme = export_readme(settings)
    assert readme.startswith("# Text classifier, exported (int8)\n")
    assert "Checked against torch on 84 texts: probabilities differ by at most 0.01" in readme
    assert "The weights are in eight bits." in readme
    assert "The chunk's size is part of the model:" in readme
    assert "a text has those with a probability above 0.5." in readme
    assert "Average" not in readme
    assert "4. Calibrate each probability p: p ^ (1 / 2.0) / (p ^ (1 / 2.0) + (1 - p) ^" in readme
    settings["classifier"] = {**SIZES, "multi_label": False}
    settings["directions"] = ["forward", "backward"]
    readme = export_readme(settings)
    assert "4. Average the probabilities of the two graphs.\n5. Calibrate: take p ^ (1 / 2.0)" in (
        readme
    )


def test_word_counts_by_the_readme_alone() -> None:
    predictor = tiny.counting(tiny.both())
    ngrams = predictor.ngrams
    assert ngrams is not None
    stored = load(ngrams.to_bytes())
    rows = {int(key): row for row, key in enumerate(stored["keys"])}
    for text in tiny.TEXTS:
        ids = predictor.members[0].tokenizer.encode(text)
        left = [int(i) for i in ids if i >= len(SPECIALS)]
        pairs = [(a + 1) * 2**32 + b for a, b in pairwise(left)]
        counts = Counter(rows[key] for key in [*left, *pairs] if key in rows)
        values = {row: (1 + math.log(n)) * stored["idf"][row] for row, n in counts.items()}
        length = math.sqrt(sum(value**2 for value in values.values()))
        scores = stored["bias"] + sum(
            value / length * stored["weights"][row] for row, value in values.items()
        )
        np.testing.assert_allclose(ngrams.scores([ids])[0], scores, atol=1e-5)


def test_it_says_how_words_are_counted() -> None:
    settings = {**SETTINGS, "ngrams": {"version": 1, "terms": 5, "share": 0.75}}
    readme = export_readme(settings)
    assert "4. Add the bag-of-words model, `ngrams.safetensors`" in readme
    assert f"ids below {len(SPECIALS)}" in readme
    assert "Add 0.75 times" in readme
    assert "the scores log(p / (1 - p)) of the graphs" in readme
    assert "\n5. Calibrate each probability p" in readme
