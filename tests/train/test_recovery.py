"""A loss that is no number: the run goes back and slows down, says so, and gives up in the end."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.displays import Notes
from tests.train.toy_job import Number, Three, ToyLoss, options, toy_fit, toy_job
from ulmfit.errors import Interrupted, TrainingError
from ulmfit.optim.unfreezing import full
from ulmfit.settings import OptimizerSettings
from ulmfit.train.checkpoint import Checkpoints
from ulmfit.train.loop import Carry, Job, Metrics, StepResult, make_optimizer
from ulmfit.train.recovery import NotFinite, Recovery, require_finite
from ulmfit.train.run_state import RunState
from ulmfit.train.tracker import Tracker

LIMIT = -2.5


def fragile_job(model: Three, before: Callable[[int], None] = lambda step: None) -> Job[Any]:
    """Its loss is NaN once the parameters are under LIMIT; each step takes the rate off them."""
    job = toy_job(model, plan=full([1.0] * 3, 2))
    real = ToyLoss(model, None)
    steps = 0

    def loss(batch: Number, carry: Carry) -> StepResult:
        nonlocal steps
        before(steps)
        steps += 1
        found = real(batch, carry)
        broken = model.values()[0] < LIMIT
        return replace(found, metric=found.metric * math.nan) if broken else found

    return replace(job, loss=loss)


RECORDS = [
    # -1 a step: under the limit at step 3. Half of it lasts until step 6, a quarter until 7.
    {"step": 3, "back_to": 0, "cause": "loss is nan", "rate_factor": 0.5},
    {"step": 4, "epoch": 0, "train_loss": -2.25},
    {"step": 6, "back_to": 4, "cause": "loss is nan", "rate_factor": 0.25},
    {"step": 7, "back_to": 4, "cause": "loss is nan", "rate_factor": 0.125},
    {"step": 8, "epoch": 1, "train_loss": -6.5625},
]


def records(log: Path) -> list[object]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_it_goes_back_and_slows_down_until_the_loss_is_a_number(tmp_path: Path) -> None:
    model, notes = Three(), Notes()
    log = tmp_path / "log.jsonl"
    result = toy_fit(fragile_job(model), options(), Tracker(log, notes))
    assert records(log) == RECORDS
    assert model.values() == [-2.0 - 4 * 0.125] * 3
    assert result.steps == 8
    assert notes.lines[0] == (
        "loss is nan at step 3: back to step 0, learning rates times 0.5 from there on (1 of 5)"
    )
    assert sum("back to step" in line for line in notes.lines) == 3


def test_a_validation_within_an_epoch_makes_a_good_state(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    toy_fit(fragile_job(Three()), options(validate_every=2, max_steps=4), Tracker(log))
    back = [record for record in records(log) if isinstance(record, dict) and "back_to" in record]
    assert (back[0]["step"], back[0]["back_to"]) == (3, 2)


def test_moments_random_numbers_and_carried_state_go_back_too() -> None:
    model = Three()
    optimizer = make_optimizer(model.groups(), OptimizerSettings())
    state = RunState(model, optimizer, torch.device("cpu"))

    def step() -> None:
        for part in model.parts:
            part.grad = torch.randn(1)
        optimizer.step()
        state.progress.step += 1
        state.carry = {"h": torch.randn(2)}

    step()
    recovery = Recovery(state, Tracker())
    recovery.keep()
    kept = state.snapshot(0)
    kept = replace(kept, tensors={k: v.clone() for k, v in kept.tensors.items()})
    for _ in range(2):  # the second time finds the first one's copies untouched
        step()
        step()
        state.progress.seconds = 5.0
        recovery.go_back(NotFinite("loss", math.nan))
        now = state.snapshot(0)
        assert now.tensors.keys() == kept.tensors.keys()
        assert all(torch.equal(now.tensors[name], kept.tensors[name]) for name in kept.tensors)
        assert (state.progress.step, state.progress.seconds) == (1, 5.0)
    assert (state.progress.rate_factor, state.progress.steps_back) == (0.25, 2)


def test_killed_at_every_step_it_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """An exception between two lines stands for the kill: nothing is saved on its way out."""

    class Killed(BaseException):
        pass

    for fatal in range(13):
        model, folder = Three(), tmp_path / str(fatal)

        def strike(step: int, fatal: int = fatal) -> None:
            if step == fatal:
                raise Killed

        places = Checkpoints(folder / "checkpoints")
        saving = options(checkpoint_seconds=0.0)
        with pytest.raises(Killed):
            toy_fit(fragile_job(model, strike), saving, Tracker(folder / "log.jsonl"), places)
        model = Three()
        again = replace(saving, resume=True)
        toy_fit(fragile_job(model), again, Tracker(folder / "log.jsonl"), places)
        assert records(folder / "log.jsonl") == RECORDS
        assert model.values() == [-2.5] * 3


def test_checkpoints_of_undone_steps_go(tmp_path: Path) -> None:
    places = Checkpoints(tmp_path)
    seen: list[list[int]] = []
    job = fragile_job(Three(), lambda step: seen.append(places.steps()))
    toy_fit(job, options(checkpoint_seconds=0.0), checkpoints=places)
    # The fourth call finds the loss broken at step 3; the fifth starts again from step 0.
    assert seen[3:6] == [[2, 3], [0], [0, 1]]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_it_gives_up_with_the_cause(value: float) -> None:
    # A bad batch: no rate helps. The weights are those before it.
    model = Three()
    with torch.no_grad():
        model.parts[0].fill_(1.0)
    job = toy_job(model, batches=[Number(), Number(value)], plan=full([0.25] * 3, 1))
    with pytest.raises(TrainingError) as caught:
        toy_fit(job, options())
    assert str(caught.value) == (
        f"loss is {value} at step 1 (learning rate 0.0078; 5 times back at half the rate did not "
        "help): expected a finite number. "
        "Lower the learning rate, or clip gradients (optimizer.clip)."
    )
    assert model.values() == [1 - 0.25 / 32, -0.25 / 32, -0.25 / 32]


def test_a_first_step_that_fails_is_not_tried_again() -> None:
    """The same weights and the same batch: the rate has not had a say yet."""
    notes = Notes()
    with pytest.raises(TrainingError) as caught:
        toy_fit(toy_job(Three(), batches=[Number(math.nan)]), options(), Tracker(display=notes))
    assert str(caught.value).startswith(
        "loss is nan at step 0 (learning rate 1; it came at the first step from a good state): "
    )
    assert notes.lines == []


def test_a_validation_loss_that_is_no_number_is_never_the_best() -> None:
    model = Three()
    losses = iter([2.0, math.nan, 3.0])

    def validate() -> Metrics:
        return {"valid_loss": next(losses)}

    result = toy_fit(toy_job(model, validate=validate), options())
    assert (result.best, result.best_step) == ({"valid_loss": 2.0}, 4)


def test_a_weight_that_is_no_number_is_seen_without_a_loss() -> None:
    # The last step of a run without validation: no loss is computed after it.
    class Poisoned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([1.0, math.nan]))

    model = Poisoned()
    state = RunState(model, torch.optim.AdamW(model.parameters()), torch.device("cpu"))
    with pytest.raises(NotFinite, match=r"^a weight of w is nan$"):
        Recovery(state, Tracker()).require_finite_weights()


def test_weights_that_are_no_numbers_are_never_the_best() -> None:
    """As the embedding of a word that the validation data do not have: its loss says nothing."""
    model, notes = Three(), Notes()
    calls = 0

    def validate() -> Metrics:
        nonlocal calls
        calls += 1
        return {"valid_loss": -float(calls)}

    steps = 0

    def poison(model: Three, result: StepResult, carry: Carry) -> None:
        nonlocal steps
        steps += 1
        if steps == 8:  # the last one before a validation
            with torch.no_grad():
                model.parts[0].fill_(math.nan)

    job = toy_job(model, validate=validate, look=poison)
    result = toy_fit(job, options(), Tracker(display=notes))
    assert any("a weight of parts.0 is nan" in line for line in notes.lines)
    assert (calls, result.best_step, result.steps) == (2, 8, 8)
    assert all(map(math.isfinite, model.values()))


def test_the_user_can_stop_and_resume_after_it_went_back(tmp_path: Path) -> None:
    import os
    import signal

    places, log = Checkpoints(tmp_path / "checkpoints"), tmp_path / "log.jsonl"

    def stop(step: int) -> None:
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        toy_fit(fragile_job(Three(), stop), options(), Tracker(log), places)
    model = Three()
    toy_fit(fragile_job(model), options(resume=True), Tracker(log), places)
    assert records(log) == RECORDS


def test_finite_numbers_pass() -> None:
    require_finite(-1e300, "loss")
    with pytest.raises(NotFinite, match=r"^loss is inf$"):
        require_finite(math.inf, "loss")
