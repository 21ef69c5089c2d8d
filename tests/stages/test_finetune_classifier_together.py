"""Two processes train a classifier as one with the doubled batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tests.rank_runs import Striking, in_ranks, values
from ulmfit import ranks
from ulmfit.config import Direction
from ulmfit.settings import ClassifierSettings
from ulmfit.stages.finetune_classifier import finetune_classifier, one_hot

EXACT: dict[str, Any] = {
    "epochs": 4,
    "chunk": 4,
    "grad_tokens": 8,
    "head_size": 5,
    "head_p": [0.0, 0.0],
    "dropouts": tiny.NO_DROPOUT.model_dump(),
    "ar_alpha": 2.0,
    "tar_beta": 1.0,
    "class_weights": "balanced",
    "optimizer": {"clip": 0.5},
    "rates": {"lr": 0.02},
}
DROPPED = {**EXACT, "head_p": [0.3, 0.1], "dropouts": {"weight_p": 0.3}}


def run(
    folder: str,
    settings: dict[str, Any],
    batch_size: int,
    options: dict[str, Any],
) -> list[float]:
    """Train a tiny classifier on an odd number of documents; the sums of its weights."""
    words = tiny.tokenizer()
    multi_label = options.get("multi_label", False)
    parts = []
    for n, seed in ((options.get("n", 23), 3), (12, 4)):
        texts, labels = tiny.labelled_texts(n, seed)
        # twice as many of one kind, so that the weights of classes differ
        kept = [row for row in range(n) if row % 4 != 1]
        chosen = [(labels[row], "glad") if multi_label and row % 3 else labels[row] for row in kept]
        ids = words.encode_batch([texts[row] for row in kept])
        parts.append((ids, one_hot(chosen, ["glad", "sad"])))
    direction: Direction = options.get("direction", "forward")
    trained = finetune_classifier(
        tiny.trained_lm(words, direction),
        parts[0],
        parts[1],
        ["glad", "sad"],
        ClassifierSettings(**settings, batch_size=batch_size),
        tiny.context(
            Path(folder),
            display=Striking(options.get("strike", 0) if ranks.rank() == 0 else 0),
            resume=options.get("resume", False),
        ),
        multi_label=multi_label,
    )
    return [float(value.float().sum()) for value in trained.weights.values()]


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "options",
    [{}, pytest.param({"direction": "backward"}, marks=pytest.mark.slow), {"multi_label": True}],
    ids=["forward", "backward", "multi-label"],
)
def test_two_processes_learn_as_one_with_the_doubled_batch(
    options: dict[str, Any], tmp_path: Path
) -> None:
    one = run(str(tmp_path / "one"), EXACT, 6, options)
    folder = str(tmp_path / "two")
    first, second = values(in_ranks(2, run, tmp_path / "out", folder, EXACT, 3, options))
    assert first == second
    np.testing.assert_allclose(first, one, rtol=2e-3, atol=1e-4)
    expected, found = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert expected[0]["train_loss"] > expected[-1]["train_loss"]
    for a, b in zip(expected, found, strict=True):
        assert a == pytest.approx(b, rel=5e-5)


@pytest.mark.slow
def test_a_stopped_run_of_two_ends_as_one_that_was_not_stopped(tmp_path: Path) -> None:
    whole, part = str(tmp_path / "whole"), str(tmp_path / "part")
    expected = values(in_ranks(2, run, tmp_path / "o1", whole, DROPPED, 3, {}))
    stopped = in_ranks(2, run, tmp_path / "o2", part, DROPPED, 3, {"strike": 7})
    assert [outcome.code for outcome in stopped] == [130, 130]
    again = values(in_ranks(2, run, tmp_path / "o3", part, DROPPED, 3, {"resume": True}))
    assert again == expected
    assert losses(tmp_path / "part") == losses(tmp_path / "whole")


def test_fewer_documents_than_processes(tmp_path: Path) -> None:
    first, second = in_ranks(2, run, tmp_path / "o", str(tmp_path), EXACT, 3, {"n": 1})
    assert first.error == (
        "InputError: 2 processes are to share 1 documents: expected at least one for each of them."
    )
    assert (first.speaks, second.speaks) == (True, False)
