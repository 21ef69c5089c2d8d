"""From raw text to answers: a language model, fine-tuned, a classifier, a folder, predictions."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ulmfit.apps.language_models import pretrain_lms, save_lms
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.pretrained import resolve_lms
from ulmfit.apps.run import TrainingRun
from ulmfit.apps.training import train_classifier
from ulmfit.config import RELEASED_LM_DROPOUTS, Direction
from ulmfit.data.datasets import Dataset, load_dataset
from ulmfit.runtime import make_accelerator
from ulmfit.settings import ClassifierSettings, FinetuneLMSettings, PretrainSettings, Settings
from ulmfit.train.tracker import Silent

BOTH: tuple[Direction, ...] = ("forward", "backward")

PRETRAIN = PretrainSettings.model_validate(
    {
        "epochs": 2,
        "batch_size": 16,
        "bptt": 20,
        "emb_size": 24,
        "hidden_size": 32,
        "n_layers": 2,
        "softmax_samples": 200,
        "valid_fraction": 0.1,
        "rates": {"lr": 0.02, "kind": "uniform"},
    }
)
SETTINGS = Settings(
    finetune_lm=FinetuneLMSettings.model_validate(
        {
            "epochs": 1,
            "batch_size": 16,
            "bptt": 20,
            "least_steps": 1,
            "vocab": "task",
            "rates": {"lr": 0.01},
        }
    ),
    classifier=ClassifierSettings.model_validate(
        {
            "epochs": 8,
            "batch_size": 32,
            "head_size": 20,
            "head_p": [0.1, 0.1],
            "dropouts": RELEASED_LM_DROPOUTS,
            "rates": {"lr": 0.02, "factor": 1.5},
        }
    ),
)


def run(work: Path) -> TrainingRun:
    return TrainingRun(work, make_accelerator(cpu=True), Silent())


@pytest.fixture(scope="module")
def questions() -> tuple[Dataset, Dataset]:
    """Of TREC-6: some hundred questions to train on, all to test on."""
    train = load_dataset("name:trec6", split="train")
    return train.subset(range(0, len(train), 7)), load_dataset("name:trec6", split="test")


@pytest.mark.filterwarnings("ignore:the language model does not know")  # it is a tiny one
def test_from_text_to_answers(questions: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    train, test = questions
    corpus = load_dataset("name:trec6", split="train").texts[:3000]

    lms = pretrain_lms(lambda: corpus, PRETRAIN, BOTH, run(tmp_path / "pretraining"))
    save_lms(lms, tmp_path / "lm")
    found = resolve_lms(tmp_path / "lm", BOTH)
    predictor = train_classifier(train, found, SETTINGS, run(tmp_path / "training"))
    predictor.save(tmp_path / "model")

    loaded = Predictor.load(tmp_path / "model")
    probabilities = loaded.predict_proba(test.texts)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities, predictor.predict_proba(test.texts), atol=1e-6)
    labels = [str(label) for label in test.labels or ()]
    right = np.mean([a == b for a, b in zip(loaded.decide(probabilities), labels, strict=True)])
    majority = Counter(labels).most_common(1)[0][1] / len(labels)
    assert loaded.labels == tuple(sorted(set(labels)))
    assert right > majority + 0.1, f"{right:.3f} right, {majority:.3f} by the commonest class"

    # One question alone has the answer that it has among the others.
    for row in (0, 17, 499):
        alone = loaded.predict_proba([test.texts[row]])
        np.testing.assert_allclose(alone[0], probabilities[row], atol=1e-5)

    assert (tmp_path / "model" / "backward" / "model.safetensors").is_file()
    for folder in (tmp_path / "lm", tmp_path / "model"):
        assert json.loads((folder / "config.json").read_text())["direction"] == "forward"
        assert json.loads((folder / "backward" / "config.json").read_text())["direction"] == (
            "backward"
        )
