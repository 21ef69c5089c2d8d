"""A classifier's run that is killed at any step and resumed ends as if it had not been."""

from __future__ import annotations

import signal
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.child_runs import (
    Blow,
    Request,
    in_child,
    in_fresh_interpreter,
    killed_again_and_again,
    result,
)
from ulmfit.errors import Interrupted, SettingsError
from ulmfit.settings import ClassifierSettings
from ulmfit.stages.finetune_classifier import finetune_classifier, one_hot
from ulmfit.train.checkpoint import Checkpoints

GRADUAL = Request("classifier", "")
STEPS = 15  # five epochs of three batches: head, two layers, the embedding, and one more


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The result of the run that nobody stops."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    assert in_child(replace(GRADUAL, folder=str(folder))) == 0
    return result(folder)


def test_killed_at_every_step(unbroken: dict[str, object], tmp_path: Path) -> None:
    request = replace(GRADUAL, folder=str(tmp_path))
    assert killed_again_and_again(request, Blow(2)) == STEPS - 1
    assert result(tmp_path) == unbroken


@pytest.mark.parametrize("step", [3, 6, 12])
def test_stopped_at_the_end_of_an_epoch(
    step: int, unbroken: dict[str, object], tmp_path: Path
) -> None:
    # The checkpoint is at the border of two phases: what trains next was frozen until now.
    request = replace(GRADUAL, folder=str(tmp_path), checkpoint_seconds=1e9)
    assert in_child(replace(request, blow=Blow(step, signal="SIGINT"))) == 130
    snapshot = Checkpoints(tmp_path / "checkpoints").load_latest()
    assert snapshot is not None
    assert snapshot.state["progress"]["batch"] == 0
    assert snapshot.state["progress"]["epoch"] == step // 3
    assert in_child(replace(request, resume=True)) == 0
    assert result(tmp_path) == unbroken


def test_frozen_groups_have_no_moments_in_a_checkpoint(tmp_path: Path) -> None:
    request = replace(GRADUAL, folder=str(tmp_path), checkpoint_seconds=1e9)
    assert in_child(replace(request, blow=Blow(3, signal="SIGINT"))) == 130
    snapshot = Checkpoints(tmp_path / "checkpoints").load_latest()
    assert snapshot is not None
    # 1 embedding, 2 x 4 LSTM parameters below the head's 8.
    trained = {int(name.split(".")[0]) for name in snapshot.part("optimizer.")}
    assert trained == set(range(9, 17))


@pytest.mark.parametrize(
    "settings",
    [
        {"unfreezing": "chain_thaw"},
        {"unfreezing": "last", "epochs": 2},
        {"unfreezing": "full", "epochs": 2, "class_weights": "balanced", "optimizer": {"clip": 1}},
        {"schedule": {"kind": "one_cycle", "scope": "phase"}, "epochs": 3},
        {"patience": 1, "rates": {"lr": 3.0}},
    ],
    ids=["chain_thaw", "last", "full", "one_cycle", "patience"],
)
def test_killed_under_other_settings(settings: dict[str, Any], tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    request = Request("classifier", str(whole), settings=settings)
    assert in_child(request) == 0
    assert killed_again_and_again(replace(request, folder=str(broken)), Blow(4)) >= 1
    assert result(broken) == result(whole)


@pytest.mark.slow
def test_same_seed_same_bytes_in_another_interpreter(
    unbroken: dict[str, object], tmp_path: Path
) -> None:
    assert in_fresh_interpreter(replace(GRADUAL, folder=str(tmp_path))) == 0
    assert result(tmp_path) == unbroken


@pytest.mark.parametrize(
    ("change", "named"),
    [({"seed": 1}, "seed"), ({"settings": {"head_p": [0.3, 0.1]}}, "settings")],
    ids=["seed", "settings"],
)
def test_another_run_is_not_resumed(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    request = replace(GRADUAL, folder=str(tmp_path))
    assert in_child(replace(request, blow=Blow(3))) == -signal.SIGKILL
    assert in_child(replace(request, resume=True, **change)) == 2
    message = (tmp_path / "error.txt").read_text(encoding="utf-8")
    assert message.startswith(f"SettingsError: the checkpoint is of a run with other {named}. ")


WORDS = tiny.tokenizer()
TEXTS, LABELS = tiny.labelled_texts(12)
READ, TARGETS = WORDS.encode_batch(TEXTS), one_hot(LABELS, ["glad", "sad"])
# The last word of the first document is the first one of the second.
SHIFTED = [READ[0][:-1], np.concatenate([READ[0][-1:], READ[1]]), *READ[2:]]


@pytest.mark.parametrize(
    ("named", "change"),
    [
        ("data", {"train": (READ, 1 - TARGETS)}),
        ("data", {"train": (SHIFTED, TARGETS)}),
        ("data", {"valid": (READ[:5], TARGETS[:5])}),
        ("data", {"valid": None}),
        ("labels", {"labels": ["sad", "glad"]}),
        ("labels", {"multi_label": True}),
        ("first weights", {"lm": tiny.trained_lm(WORDS, seed=1)}),
    ],
)
def test_a_run_of_other_things_is_not_resumed(
    named: str, change: dict[str, Any], tmp_path: Path
) -> None:
    context = tiny.context(tmp_path)
    values: dict[str, Any] = {
        "lm": tiny.trained_lm(WORDS),
        "train": (READ, TARGETS),
        "valid": (READ[:4], TARGETS[:4]),
        "labels": ["glad", "sad"],
        "settings": ClassifierSettings(epochs=2, batch_size=6, chunk=5, head_size=4),
    }
    with pytest.raises(Interrupted):
        finetune_classifier(**values, context=replace(context, deadline=0.0))
    with pytest.raises(SettingsError, match=f"of a run with other {named}[.]"):
        finetune_classifier(**{**values, **change}, context=replace(context, resume=True))


def test_the_seed_alone_decides_the_weights(tmp_path: Path) -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        settings = ClassifierSettings(epochs=1, batch_size=6, chunk=5, head_size=4)
        context = tiny.context(tmp_path, seed=seed, checkpoint_seconds=1e9)
        lm, labels = tiny.trained_lm(WORDS), ["glad", "sad"]
        torch.manual_seed(next(before))
        return finetune_classifier(lm, (READ, TARGETS), None, labels, settings, context).weights

    before = count()  # random numbers that something else has drawn
    first, second, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.linear2.weight"], other["head.linear2.weight"])
