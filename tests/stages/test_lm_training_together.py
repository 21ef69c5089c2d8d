"""Two processes train a language model as one with the doubled batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.rank_runs import Striking, in_ranks, values
from ulmfit import ranks
from ulmfit.config import Direction
from ulmfit.settings import FinetuneLMSettings, PretrainSettings
from ulmfit.stages.finetune_lm import finetune_lm
from ulmfit.stages.lm_speed import measure_speed
from ulmfit.stages.lm_training import batch_shape

EXACT: dict[str, Any] = {
    "epochs": 2,
    "bptt": 6,
    "least_steps": 1,
    "min_freq": 1,
    "vary_bptt": True,
    "softmax_samples": None,
    "ar_alpha": 2.0,
    "tar_beta": 1.0,
    "validate_every": 4,
    "dropouts": tiny.NO_DROPOUT.model_dump(),
    "optimizer": {"clip": 0.5},
    "rates": {"lr": 0.2},
}
DROPPED = {**EXACT, "softmax_samples": 8, "dropouts": {"weight_p": 0.3, "input_p": 0.3}}


def run(
    folder: str,
    settings: dict[str, Any],
    batch_size: int,
    direction: Direction = "forward",
    resume: bool = False,
    strike: int = 0,
) -> list[float]:
    """Fine-tune a tiny language model; the first numbers of its weights."""
    words = tiny.tokenizer()
    train, valid = tiny.corpus(words, 90, seed=1), tiny.corpus(words, 20, seed=2)
    chosen = FinetuneLMSettings(**settings, batch_size=batch_size)
    display = Striking(strike if ranks.rank() else 0)
    context = tiny.context(Path(folder), display=display, resume=resume)
    lm = finetune_lm(tiny.trained_lm(words, direction), words, train, valid, chosen, context)
    return [float(value.flatten()[0]) for value in lm.weights.values()]


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("direction", ["forward", pytest.param("backward", marks=pytest.mark.slow)])
def test_two_processes_learn_as_one_with_the_doubled_batch(
    direction: Direction, tmp_path: Path
) -> None:
    one = run(str(tmp_path / "one"), EXACT, 8, direction)
    folder = str(tmp_path / "two")
    first, second = values(in_ranks(2, run, tmp_path / "out", folder, EXACT, 4, direction))
    assert first == second
    np.testing.assert_allclose(first, one, rtol=1e-3, atol=1e-5)
    expected, found = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(expected) > 4
    assert expected[0]["train_loss"] > expected[-1]["train_loss"] + 0.3
    for a, b in zip(expected, found, strict=True):
        assert a == pytest.approx(b, rel=2e-5)


def test_a_stopped_run_of_two_ends_as_one_that_was_not_stopped(tmp_path: Path) -> None:
    whole, part = str(tmp_path / "whole"), str(tmp_path / "part")
    expected = values(in_ranks(2, run, tmp_path / "o1", whole, DROPPED, 4))
    stopped = in_ranks(2, run, tmp_path / "o2", part, DROPPED, 4, "forward", False, 6)
    assert [outcome.code for outcome in stopped] == [130, 130]
    assert values(in_ranks(2, run, tmp_path / "o3", part, DROPPED, 4, "forward", True)) == expected
    assert losses(tmp_path / "part") == losses(tmp_path / "whole")


def shape(n_tokens: int, batch_size: int, least_steps: int = 1) -> tuple[int, int]:
    settings = FinetuneLMSettings(batch_size=batch_size, bptt=6, least_steps=least_steps)
    return batch_shape(tiny.random_corpus([n_tokens]), settings)


def too_small() -> None:
    shape(3, 4)


def test_all_processes_have_as_many_rows(tmp_path: Path) -> None:
    assert values(in_ranks(2, shape, tmp_path, 1000, 4)) == [[4, 6], [4, 6]]
    assert values(in_ranks(2, shape, tmp_path, 37, 4)) == [[2, 6], [2, 6]]  # 5 rows of 7 fit
    assert values(in_ranks(2, shape, tmp_path, 4, 4)) == [[1, 6], [1, 6]]
    alone = shape(2000, 8, 9)
    assert values(in_ranks(2, shape, tmp_path, 2000, 4, 9)) == [[alone[0] // 2, alone[1]]] * 2
    first, _ = in_ranks(2, too_small, tmp_path)
    assert first.error == (
        "InputError: the corpus has 3 tokens: expected at least 4 tokens of text."
    )


def speed() -> list[float]:
    torch.manual_seed(0)
    words = tiny.tokenizer()
    settings = PretrainSettings(emb_size=6, hidden_size=8, n_layers=2, batch_size=4, bptt=6)
    corpora = tiny.corpus(words, 60, seed=1), tiny.corpus(words, 20, seed=2)
    context = tiny.context(Path())
    found = measure_speed(settings, words.vocab_size, *corpora, context.accelerator, seconds=0.05)
    return [found.training, found.scoring]


def test_the_speed_is_measured_together(tmp_path: Path) -> None:
    first, second = values(in_ranks(2, speed, tmp_path))
    assert first == second
    assert min(first) > 0
