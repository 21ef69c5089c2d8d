"""A document may be of any length: memory for a million tokens is that for ten thousand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from tests import tiny
from ulmfit.apps.predictor import Predictor
from ulmfit.config import ClassifierConfig, LMConfig
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel
from ulmfit.stages.classifier_folder import TrainedClassifier

MEASURE = """
import json, resource, sys
from pathlib import Path
from ulmfit.apps.predictor import Predictor

unit = 1 if sys.platform == "darwin" else 1024
predictor = Predictor.load(Path(sys.argv[1]))
peaks = []
for n_words in (10, 10_000, 1_000_000):
    [row] = predictor.predict_proba(["the film was great . " * (n_words // 5)])
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
    assert abs(row.sum() - 1) < 1e-5
print(json.dumps(peaks))
"""


def test_memory_does_not_grow_with_the_document(tmp_path: Path) -> None:
    torch.manual_seed(0)
    words = tiny.tokenizer()
    lm = LMConfig(vocab_size=words.vocab_size, emb_size=32, hidden_size=64, n_layers=2)
    config = ClassifierConfig(lm=lm, n_classes=2)
    weights = TextClassifierModel(config, tiny.NO_DROPOUT, HeadDropouts()).state_dict()
    model = TrainedClassifier(config, "forward", ("glad", "sad"), words, weights)
    Predictor([model]).save(tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "model")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    _, short, long = json.loads(done.stdout)
    assert long - short < 200e6
