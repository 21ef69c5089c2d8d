"""A language model's run that is killed at any step and resumed ends as if it had not been."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from tests.child_runs import (
    DISK_FULL,
    Blow,
    Request,
    end_of_child,
    in_child,
    in_fresh_interpreter,
    killed_again_and_again,
    result,
    start_child,
)
from ulmfit.data.corpus import TokenCorpus
from ulmfit.errors import Interrupted, SettingsError
from ulmfit.runtime import cpu_runs_bf16
from ulmfit.settings import LMSettings
from ulmfit.stages.lm_training import LMData, train_language_model, word_counts
from ulmfit.train.checkpoint import Checkpoints

ADAM = Request("language_model", "")
NT_ASGD = Request(
    "language_model",
    "",
    settings={
        "optimizer": {"kind": "nt_asgd", "weight_decay": 1e-6, "clip": 5.0},
        "rates": {"lr": 6.0, "kind": "uniform"},
        "schedule": {"kind": "constant"},
        "softmax_samples": None,
    },
    validate_every=1,
)
# The carried state has 16 bits then.
BF16 = replace(ADAM, precision="bf16", settings={"epochs": 1})
RUNS = {"adam": ADAM, "nt_asgd": NT_ASGD, "bf16": BF16}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """The results of the runs that nobody stops."""
    found = {}
    for name, request in RUNS.items():
        if name == "bf16" and not cpu_runs_bf16():
            continue
        folder = tmp_path_factory.mktemp("unbroken") / name
        assert in_child(replace(request, folder=str(folder))) == 0
        found[name] = result(folder)
    return found


@pytest.mark.parametrize("name", ["adam", "nt_asgd", pytest.param("bf16", marks=pytest.mark.bf16)])
def test_killed_at_every_step(
    name: str, unbroken: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    request = replace(RUNS[name], folder=str(tmp_path))
    # A child resumes at the step before the one it is killed at, so that no step is left out.
    kills = killed_again_and_again(request, Blow(2))
    steps = json.loads(str(unbroken[name]["log"]).splitlines()[-1])["step"]
    assert kills == steps - 1
    assert result(tmp_path) == unbroken[name]


def test_killed_after_each_record_of_the_log(
    unbroken: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    # The record is in the log, the checkpoint that knows of it is not: it must not stand twice.
    request = replace(ADAM, folder=str(tmp_path))
    assert killed_again_and_again(request, Blow(2, "note")) >= 2
    assert result(tmp_path) == unbroken["adam"]


def test_killed_before_the_first_checkpoint(
    unbroken: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    request = replace(ADAM, folder=str(tmp_path), checkpoint_seconds=1e9)
    assert in_child(replace(request, blow=Blow(5))) == -signal.SIGKILL
    assert (tmp_path / "log.jsonl").read_text(encoding="utf-8")
    assert in_child(replace(request, resume=True)) == 0
    assert result(tmp_path) == unbroken["adam"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_stopped_by_the_user(
    name: str, unbroken: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    request = replace(ADAM, folder=str(tmp_path), checkpoint_seconds=1e9)
    assert in_child(replace(request, blow=Blow(4, signal=name))) == 130
    message = (tmp_path / "error.txt").read_text(encoding="utf-8")
    assert message == (
        "Interrupted: stopped at step 4. Run the same command with --resume to go on."
    )
    assert Checkpoints(tmp_path / "checkpoints").steps() == [4]
    assert in_child(replace(request, resume=True)) == 0
    assert result(tmp_path) == unbroken["adam"]


def test_the_disk_is_full(unbroken: dict[str, dict[str, object]], tmp_path: Path) -> None:
    request = replace(ADAM, folder=str(tmp_path))
    assert in_child(replace(request, blow=Blow(5, signal=DISK_FULL))) == 1
    message = (tmp_path / "error.txt").read_text(encoding="utf-8")
    assert message.startswith(
        f"StorageError: cannot write '{tmp_path / 'checkpoints' / 'step-5'}': file too large. "
    )
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step-3",
        "step-4",
    ]
    assert in_child(replace(request, resume=True)) == 0
    assert result(tmp_path) == unbroken["adam"]


def test_stopped_at_the_very_last_step(
    unbroken: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    steps = json.loads(str(unbroken["adam"]["log"]).splitlines()[-1])["step"]
    request = replace(ADAM, folder=str(tmp_path), checkpoint_seconds=1e9)
    assert in_child(replace(request, blow=Blow(steps, signal="SIGINT"))) == 130
    assert in_child(replace(request, resume=True)) == 0
    assert result(tmp_path) == unbroken["adam"]


def test_resuming_a_finished_run_changes_nothing(
    unbroken: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    request = replace(ADAM, folder=str(tmp_path))
    assert in_child(request) == 0
    assert in_child(replace(request, resume=True)) == 0
    assert result(tmp_path) == unbroken["adam"]


def test_the_nt_asgd_run_averages(tmp_path: Path) -> None:
    """Otherwise the test above would not see the average in a checkpoint."""
    assert in_child(replace(NT_ASGD, folder=str(tmp_path))) == 0
    snapshot = Checkpoints(tmp_path / "checkpoints").load_latest()
    assert snapshot is not None
    assert snapshot.state["optimizer"]["groups"][0]["averaging"]
    assert "optimizer.0.ax" in snapshot.tensors


@pytest.mark.parametrize(
    "settings",
    [
        {"max_tokens": 7 * 4 * 8},
        {"patience": 1, "rates": {"lr": 2.0}},
        {"bptt": 2, "vary_bptt": False, "max_tokens": 60},
    ],
    ids=["max_tokens", "patience", "short_windows"],
)
def test_killed_in_runs_that_end_early(settings: dict[str, Any], tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    request = Request("language_model", str(whole), settings=settings)
    assert in_child(request) == 0
    assert killed_again_and_again(replace(request, folder=str(broken)), Blow(3)) > 1
    assert result(broken) == result(whole)


@pytest.mark.slow
def test_same_seed_same_bytes_in_another_interpreter(
    unbroken: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    assert in_fresh_interpreter(replace(ADAM, folder=str(tmp_path / "same"))) == 0
    assert result(tmp_path / "same") == unbroken["adam"]


def test_another_seed_other_bytes(unbroken: dict[str, dict[str, object]], tmp_path: Path) -> None:
    assert in_child(replace(ADAM, folder=str(tmp_path / "other"), seed=1)) == 0
    assert result(tmp_path / "other")["weights"] != unbroken["adam"]["weights"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed, number of steps"),
        ({"settings": {"rates": {"lr": 0.01}}}, "settings"),
        ({"settings": {"epochs": 3}}, "settings, number of steps"),
        ({"settings": {"batch_size": 3}}, "settings, number of steps"),
    ],
    ids=["seed", "rates", "epochs", "batch"],
)
def test_another_run_is_not_resumed(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    request = replace(ADAM, folder=str(tmp_path))
    assert in_child(replace(request, blow=Blow(3))) == -signal.SIGKILL
    assert in_child(replace(request, resume=True, **change)) == 2
    assert (tmp_path / "error.txt").read_text(encoding="utf-8") == (
        f"SettingsError: the checkpoint is of a run with other {named}. Give the same data and "
        "settings to resume it, or start again in a new folder."
    )


def test_a_new_run_in_the_folder_of_an_old_one_starts_afresh(
    unbroken: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    request = replace(ADAM, folder=str(tmp_path))
    other = replace(request, seed=5, checkpoint_seconds=1e9)
    assert in_child(replace(other, blow=Blow(9, signal="SIGINT"))) == 130
    # The other run was further on: its checkpoint must not be taken for the newest.
    assert in_child(replace(request, blow=Blow(4))) == -signal.SIGKILL
    assert in_child(replace(request, resume=True)) == 0
    assert result(tmp_path) == unbroken["adam"]


@pytest.mark.slow
def test_killed_twenty_times_at_random_moments(tmp_path: Path) -> None:
    # Here the parent kills, whatever the child is about: often while it writes a checkpoint.
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    request = replace(ADAM, folder=str(whole), settings={"epochs": 30})
    assert in_child(request) == 0
    request = replace(request, folder=str(broken))
    draw = random.Random(0)
    for kill in range(20):
        before = newest(broken)
        child = start_child(replace(request, resume=kill > 0))
        while newest(broken) == before:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        assert end_of_child() == -signal.SIGKILL
    assert in_child(replace(request, resume=True)) == 0
    assert result(broken) == result(whole)


def newest(folder: Path) -> list[int]:
    return Checkpoints(folder / "checkpoints").steps()[-1:]


TRAIN, VALID = tiny.random_corpus([40, 25, 60]), tiny.random_corpus([30, 12], seed=1)
# The same words, with the border of the first two documents one word later.
SHIFTED = TokenCorpus.from_ids([TRAIN.ids[:41], TRAIN.ids[41:65], TRAIN.ids[65:]])


@pytest.mark.parametrize(
    ("named", "change"),
    [
        ("data", {"train": SHIFTED}),
        ("data", {"valid": tiny.random_corpus([30, 12], seed=2)}),
        ("data", {"valid": None}),
        ("direction", {"direction": "backward"}),
        ("first weights", {"first_weights": {"decoder_bias": torch.ones(50)}}),
    ],
)
def test_a_run_of_other_things_is_not_resumed(
    named: str, change: dict[str, Any], tmp_path: Path
) -> None:
    data = LMData(TRAIN, VALID, "forward", word_counts(TRAIN, 50))
    settings = LMSettings.model_validate({"epochs": 1, "batch_size": 4, "bptt": 6})
    context = tiny.context(tmp_path)
    with pytest.raises(Interrupted):
        train_language_model(tiny.lm_model(), data, settings, replace(context, deadline=0.0))
    data, context = replace(data, **change), replace(context, resume=True)
    with pytest.raises(SettingsError, match=f"of a run with other {named}[.]"):
        train_language_model(tiny.lm_model(), data, settings, context)
