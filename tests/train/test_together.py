"""What two processes share at each step of the loop, and what each keeps for itself."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.rank_runs import in_ranks, values
from tests.train.toy_job import Number, Three, options, toy_fit, toy_job
from ulmfit import ranks
from ulmfit.errors import SettingsError
from ulmfit.train.checkpoint import Checkpoints, Snapshot
from ulmfit.train.loop import Carry, StepResult
from ulmfit.train.together import add_gradients, begin_alike, gather_own, take_own, whole_batch
from ulmfit.train.tracker import Tracker


def step() -> list[Any]:
    """Parameter 0 has a gradient in both processes, 1 in the second, 2 in none; 60 in all."""
    r = ranks.rank()
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(60)]
    parameters[0].grad = torch.tensor([1.0, 10.0]) * (r + 1)
    if r:
        parameters[1].grad = torch.ones(2)
        parameters[59].grad = torch.ones(2)
    metric, loss = torch.tensor(0.5 + r), torch.tensor(2.0 - r)
    whole = whole_batch(metric, loss, 3 + r, parameters)
    add_gradients(parameters)
    return [whole, *(p.grad if p.grad is None else p.grad.tolist() for p in parameters)]


def test_shares_and_gradients_are_added_up(tmp_path: Path) -> None:
    for whole, *gradients in values(in_ranks(2, step, tmp_path)):
        assert whole == [2.0, 3.0, 7]
        assert gradients[:3] == [[3.0, 30.0], [1.0, 1.0], None]
        assert gradients[3:] == [None] * 56 + [[1.0, 1.0]]


def begin() -> list[float]:
    torch.manual_seed(5)
    model = Three()
    with torch.no_grad():
        model.parts[1].fill_(3.0 + ranks.rank())
    begin_alike(model)
    return [*model.values(), float(torch.rand(()))]


def test_all_begin_with_the_first_ones_weights_and_draw_on_their_own(tmp_path: Path) -> None:
    first, second = values(in_ranks(2, begin, tmp_path))
    assert first[:3] == second[:3] == [0.0, 3.0, 0.0]
    assert first[3] != second[3]
    torch.manual_seed(5)
    Three()
    assert first[3] == float(torch.rand(()))


def parts() -> list[dict[str, float]]:
    names = ("model.w", "carry.h", "random.cpu", "good.carry.h", "good.random.cpu", "good.model.w")
    snapshot = Snapshot({name: torch.tensor(10.0 * ranks.rank()) for name in names}, {})
    gather_own(snapshot)
    written = {name: float(tensor) for name, tensor in snapshot.tensors.items()}
    first = ranks.first("read", lambda: written)
    again = Snapshot({name: torch.tensor(value) for name, value in first.items()}, {})
    take_own(again)
    return [written, {name: float(tensor) for name, tensor in again.tensors.items()}]


def test_a_checkpoint_holds_what_is_every_processes_own(tmp_path: Path) -> None:
    (written, first), (_, second) = values(in_ranks(2, parts, tmp_path))
    own = {"carry.h", "random.cpu", "good.carry.h", "good.random.cpu"}
    assert written == {
        **dict.fromkeys(own | {"model.w", "good.model.w"}, 0.0),
        **{f"process.1.{name}": 10.0 for name in own},
    }
    assert first == dict.fromkeys(own | {"model.w", "good.model.w"}, 0.0)
    assert second == {**dict.fromkeys(own, 10.0), "model.w": 0.0, "good.model.w": 0.0}


def run(folder: str, batches: Sequence[Sequence[float]], strike: int, resume: bool) -> list[Any]:
    """Train on batches that differ by process; at step `strike` the second one gets a SIGTERM."""
    model, seen, carried = Three(), [], []

    def look(model: Three, result: StepResult, carry: Carry) -> None:
        seen.append(float(result.loss.detach()))
        carried.append(float(carry["seen"]) if carry else 0.0)
        if ranks.rank() and len(seen) == strike:
            os.kill(os.getpid(), signal.SIGTERM)

    own = [Number(value) for value in batches[ranks.rank() if ranks.size() > 1 else 0]]
    job = toy_job(model, batches=own, look=look, validate=lambda: {"valid_loss": 1.0})
    place = Path(folder)
    tracker = Tracker(place / "log.jsonl")
    toy_fit(job, options(resume=resume), tracker, Checkpoints(place / "checkpoints"))
    return [model.values(), carried]


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_loss_that_is_no_number_in_one_process_sends_all_back(tmp_path: Path) -> None:
    nan = [[1.0, 1.0], [1.0, math.nan]]
    first, second = in_ranks(2, run, tmp_path / "out", str(tmp_path / "run"), nan, 0, False)
    assert first.error.startswith("TrainingError: loss is nan at step 1")
    assert "learning rate 0.031" in first.error
    assert (first.speaks, second.speaks) == (True, False)
    back = [record for record in records(tmp_path / "run") if "back_to" in record]
    assert [record["rate_factor"] for record in back] == [0.5, 0.25, 0.125, 0.0625, 0.03125]


def test_a_stop_of_one_stops_all_and_all_go_on(tmp_path: Path) -> None:
    batches = [[1.0, 2.0, 3.0, 4.0], [0.5, 0.25, 8.0, 1.0]]
    whole = values(in_ranks(2, run, tmp_path / "o1", str(tmp_path / "whole"), batches, 0, False))
    stopped = in_ranks(2, run, tmp_path / "o2", str(tmp_path / "run"), batches, 3, False)
    assert [outcome.code for outcome in stopped] == [130, 130]
    assert stopped[0].error.startswith("Interrupted: stopped at step 3.")
    again = values(in_ranks(2, run, tmp_path / "o3", str(tmp_path / "run"), batches, 0, True))
    assert [model for model, _ in again] == [model for model, _ in whole]
    assert [carried for _, carried in again] == [carried[3:] for _, carried in whole]
    assert records(tmp_path / "run") == records(tmp_path / "whole")
    assert not list((tmp_path / "o2").glob("log*"))


def test_another_number_of_processes_does_not_go_on(tmp_path: Path) -> None:
    place = str(tmp_path / "run")
    in_ranks(2, run, tmp_path / "out", place, [[1.0] * 4] * 2, 2, False)
    with pytest.raises(
        SettingsError, match="begun with 2 of the processes that train together, not 1"
    ) as caught:
        run(place, [[1.0] * 4], 0, True)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("Start 2 with torchrun to resume it")
