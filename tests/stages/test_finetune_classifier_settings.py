"""Stage 3: what the settings say is what is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.stages.test_finetune_classifier import EAGER, part, run, settings
from ulmfit.config import Dropouts
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import SettingsError
from ulmfit.settings import OptimizerSettings, RateSettings, ScheduleSettings
from ulmfit.stages.finetune_classifier import check_settings, finetune_classifier


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return tiny.tokenizer()


def test_the_error_and_not_the_loss_chooses_the_epoch(words: Tokenizer, tmp_path: Path) -> None:
    # Each text has both labels once: half of the answers are wrong, and the surer the more so.
    texts, targets = part(words, 20, 2)
    trained = finetune_classifier(
        tiny.trained_lm(words),
        part(words, 160, 1),
        ([*texts, *texts], np.concatenate([targets, 1 - targets])),
        ["glad", "sad"],
        settings(**{**EAGER, "epochs": 6}),
        tiny.context(tmp_path, checkpoint_seconds=1e9),
    )
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["valid_loss"] for line in lines]
    assert min(losses) < losses[-1]
    assert (trained.metrics["error"], trained.metrics["valid_loss"]) == (0.5, losses[-1])


def last_layer(words: Tokenizer, folder: Path, lr: float = 0.05, **changes: Any) -> torch.Tensor:
    """The weights after one epoch."""
    asked = {"optimizer": OptimizerSettings(weight_decay=0.0), **changes}
    config = settings(epochs=1, rates=RateSettings(lr=lr), **asked)
    return run(words, folder, config, valid=False).weights["head.linear2.weight"]


def test_the_dropouts_are_those_of_the_settings(words: Tokenizer, tmp_path: Path) -> None:
    def head(name: str, **changes: Any) -> torch.Tensor:
        return last_layer(words, tmp_path / name, **changes)

    none, some = tiny.NO_DROPOUT, Dropouts(**{**tiny.NO_DROPOUT.model_dump(), "input_p": 0.9})
    assert not torch.equal(head("none", dropouts=none), head("some", dropouts=some))
    # The last layer sees nothing, and learns nothing, where all before it is dropped.
    still = head("still", lr=1e-12)
    torch.testing.assert_close(head("second", head_p=(0.0, 1 - 1e-9)), still, atol=1e-9, rtol=0)
    assert not torch.allclose(head("first", head_p=(1 - 1e-9, 0.0)), still, atol=1e-3, rtol=0)


def test_missing_rates_are_found_before_anything_is_trained() -> None:
    with pytest.raises(SettingsError, match=r"rates\.shares is"):
        check_settings(settings(rates=RateSettings(lr=0.01, kind="shares")))


def test_schedule_and_optimiser_are_those_of_the_settings(words: Tokenizer, tmp_path: Path) -> None:
    usual = last_layer(words, tmp_path / "usual")
    cosine = last_layer(words, tmp_path / "cosine", schedule=ScheduleSettings(kind="cosine"))
    adam = OptimizerSettings(weight_decay=0.0, beta1=0.1)
    assert not torch.equal(cosine, usual)
    assert not torch.equal(last_layer(words, tmp_path / "adam", optimizer=adam), usual)


def test_patience_ends_the_run(words: Tokenizer, tmp_path: Path) -> None:
    # At this rate nothing changes: the second epoch is no better than the first.
    still = settings(epochs=6, patience=1, unfreezing="full", rates=RateSettings(lr=1e-12))
    trained = run(words, tmp_path, still)
    assert trained.metrics["steps"] == 2 * 4
