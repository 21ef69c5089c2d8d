from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests import tiny
from ulmfit.config import ClassifierConfig
from ulmfit.data.batches import pad
from ulmfit.data.datasets import Dataset
from ulmfit.experiments.multitask import LM_WEIGHT, MultiTaskLoss, MultiTaskModel, train_multitask
from ulmfit.presets import load_settings
from ulmfit.settings import ClassifierSettings
from ulmfit.stages.finetune_classifier import ClassifierLoss

QUIET = ClassifierSettings(dropouts=tiny.NO_DROPOUT, head_p=(0.0, 0.0), ar_alpha=0, tar_beta=0)


def model() -> MultiTaskModel:
    torch.manual_seed(0)
    return MultiTaskModel(ClassifierConfig(lm=tiny.lm_config(), n_classes=2), QUIET)


def test_the_next_word_is_predicted_and_padding_is_not() -> None:
    found = model().eval()
    tokens = torch.tensor([[5, 6, 7, 8], [9, 10, 1, 1]])  # 1: xxpad
    with torch.no_grad():
        loss = found.lm_loss(tokens)
        weight = found.encoder.embedding.weight
        hidden = found.encoder(tokens, found.encoder.initial_state(2)).raw
        scores = F.linear(hidden, weight, found.decoder_bias).log_softmax(-1)
    wanted = [scores[0, 0, 6], scores[0, 1, 7], scores[0, 2, 8], scores[1, 0, 10]]
    assert loss.item() == pytest.approx(-float(torch.stack(wanted).mean()), abs=1e-5)


def test_both_losses_are_added_and_only_one_is_reported() -> None:
    found = model()
    batch = pad([np.array([5, 6, 7]), np.array([8, 9, 4])], np.array([0, 1]))
    targets = np.eye(2, dtype=np.float32)
    both = MultiTaskLoss(found, QUIET, targets)(batch, {})
    alone = ClassifierLoss(found, QUIET, targets)(batch, {})
    words = found.lm_loss(torch.from_numpy(batch.tokens))
    assert both.loss.item() == pytest.approx((alone.loss + LM_WEIGHT * words).item(), abs=1e-5)
    assert both.metric.item() == pytest.approx(alone.metric.item(), abs=1e-6)


def test_a_batch_of_single_words_has_no_next_word() -> None:
    batch = pad([np.array([5]), np.array([6])], np.array([0, 1]))
    found = MultiTaskLoss(model(), QUIET, np.eye(2, dtype=np.float32))(batch, {})
    assert torch.isfinite(found.loss)


def test_it_trains_from_nothing_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    changes = {
        "finetune_lm.min_freq": 1,
        "classifier.epochs": 25,
        "classifier.batch_size": 16,
        "classifier.rates.lr": 0.02,
        "classifier.schedule.kind": "constant",
        **{f"classifier.dropouts.{name}": 0.0 for name in type(tiny.NO_DROPOUT).model_fields},
    }
    settings = load_settings(overrides=changes)
    train, valid = (Dataset(*tiny.labelled_texts(n, seed)) for n, seed in ((80, 0), (20, 1)))
    sizes = tiny.lm_config()
    answer = train_multitask(
        train,
        valid,
        ["glad", "sad"],
        settings,
        sizes,
        tiny.context(tmp_path, checkpoint_seconds=1000),
    )
    names = [("glad", "sad")[i] for i in answer(valid.texts).argmax(axis=1)]
    assert sum(a != b for a, b in zip(names, valid.labels or (), strict=True)) <= 2
