"""The loop: who trains when and how fast, what is kept, what stops it."""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from tests.train.toy_job import (
    Number,
    Three,
    leaves,
    options,
    toy_fit,
    toy_job,
)
from ulmfit.errors import Interrupted, TrainingError
from ulmfit.optim.unfreezing import Phase, full
from ulmfit.settings import OptimizerSettings, ScheduleSettings
from ulmfit.train.checkpoint import Checkpoints
from ulmfit.train.loop import Carry, Metrics, StepResult, make_optimizer
from ulmfit.train.tracker import Silent, Tracker


class Losses:
    """Validation that gives losses told beforehand, and keeps what the model was at each."""

    def __init__(self, model: Three, losses: list[float]) -> None:
        self.model, self.losses = model, iter(losses)
        self.seen: list[list[float]] = []

    def __call__(self) -> Metrics:
        assert not self.model.training
        assert not torch.is_grad_enabled()
        self.seen.append(self.model.values())
        return {"valid_loss": next(self.losses)}


def test_groups_train_at_their_rates_in_their_phases() -> None:
    model = Three()
    plan = [Phase(1, (None, None, 1.0)), Phase(1, (None, 0.5, 1.0)), Phase(2, (0.25, 0.5, 1.0))]
    result = toy_fit(toy_job(model, plan=plan), options())
    # Four steps an epoch, each of them minus the rate.
    assert model.values() == [-8 * 0.25, -12 * 0.5, -16 * 1.0]
    assert (result.steps, result.best, result.best_step) == (16, {}, 0)


def test_frozen_groups_get_no_gradient_and_are_not_in_the_graph() -> None:
    model = Three()
    thawed: list[set[int]] = []
    in_graph: list[set[int]] = []

    def look(model: Three, result: StepResult, carry: Carry) -> None:
        assert model.training
        assert all(part.grad is None for part in model.parts)  # of an earlier step
        thawed.append({i for i, part in enumerate(model.parts) if part.requires_grad})
        below = leaves(result.loss)
        in_graph.append({i for i, part in enumerate(model.parts) if id(part) in below})

    plan = [Phase(1, (None, None, 1.0)), Phase(1, (1.0, None, None)), Phase(1, (1.0, 1.0, 1.0))]
    toy_fit(toy_job(model, plan=plan, look=look, batches=[Number()]), options())
    assert thawed == in_graph == [{2}, {0}, {0, 1, 2}]


def test_rates_follow_the_schedule_and_the_batch() -> None:
    model = Three()
    batches = [Number(), Number(lr_scale=0.5), Number(), Number(lr_scale=2.0)]
    steps: list[float] = []

    def look(model: Three, result: StepResult, carry: Carry) -> None:
        steps.append(-model.values()[2])

    job = toy_job(model, batches=batches, plan=full([0.1, 0.2, 0.4], 1), look=look)
    toy_fit(job, options(schedule=ScheduleSettings(kind="cosine")))
    steps.append(-model.values()[2])
    moved = [after - before for before, after in pairwise(steps)]
    cosine = [(1 + math.cos(math.pi * t / 4)) / 2 for t in range(4)]
    scales = [1.0, 0.5, 1.0, 2.0]
    assert moved == pytest.approx([0.4 * c * s for c, s in zip(cosine, scales, strict=True)])


def test_gradients_are_clipped_to_a_norm() -> None:
    model = Three()
    clipped = OptimizerSettings(kind="nt_asgd", weight_decay=0.0, clip=1.0)
    toy_fit(
        toy_job(model, batches=[Number(100.0)], plan=full([1.0] * 3, 1)), options(optimizer=clipped)
    )
    assert model.values() == pytest.approx([-1 / math.sqrt(3)] * 3, rel=1e-5)
    model = Three()
    toy_fit(
        toy_job(model, batches=[Number(0.5)], plan=full([1.0] * 3, 1)), options(optimizer=clipped)
    )
    assert model.values() == [-0.5] * 3


def test_adam_has_the_constants_of_the_settings() -> None:
    asked = OptimizerSettings(beta1=0.6, beta2=0.9, eps=1e-3, weight_decay=0.2)
    for group in make_optimizer(Three().groups(), asked).param_groups:
        assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.6, 0.9), 1e-3, 0.2)


def test_moments_too_small_to_move_a_weight_are_dropped_every_fifty_steps(tmp_path: Path) -> None:
    # 0.2^49 is 6e-35: no gradient since the first step.
    job = toy_job(Three(), batches=[Number(), *[Number(0.0)] * 49], plan=full([1.0] * 3, 1))
    adam = OptimizerSettings(beta1=0.2)
    places = Checkpoints(tmp_path)
    toy_fit(job, options(optimizer=adam, checkpoint_seconds=0.0), checkpoints=places)
    snapshot = places.load_latest()
    assert snapshot is not None
    assert snapshot.tensors["optimizer.0.exp_avg"] == 0
    assert snapshot.tensors["optimizer.0.exp_avg_sq"] > 0


def test_frozen_groups_do_not_count_in_the_norm() -> None:
    model = Three()
    clipped = OptimizerSettings(kind="nt_asgd", weight_decay=0.0, clip=1.0)
    plan = [Phase(1, (None, None, 1.0))]
    toy_fit(toy_job(model, batches=[Number(7.0)], plan=plan), options(optimizer=clipped))
    assert model.values() == pytest.approx([0.0, 0.0, -1.0], abs=1e-5)


def test_the_best_weights_are_kept_and_put_back() -> None:
    model = Three()
    losses = Losses(model, [3.0, 1.0, 2.0, 1.0])
    result = toy_fit(toy_job(model, plan=full([1.0] * 3, 4), validate=losses), options())
    assert (result.best, result.best_step, result.steps) == ({"valid_loss": 1.0}, 16, 16)
    assert model.values() == losses.seen[3], "of equals the later one"
    assert not model.training


def test_patience_counts_validations_without_improvement() -> None:
    model = Three()
    losses = Losses(model, [3.0, 2.0, 2.5, 1.0, 2.0, 1.0, 0.0])
    job = toy_job(model, plan=full([1.0] * 3, 7), validate=losses)
    result = toy_fit(job, options(patience=2))
    assert (result.steps, result.best_step) == (6 * 4, 6 * 4), "an equal is no improvement"
    assert model.values() == losses.seen[5]


def test_patience_waits_until_everything_is_thawed() -> None:
    # Two frozen epochs without improvement are no reason to stop before all groups had a turn.
    model = Three()
    losses = Losses(model, [1.0, 2.0, 3.0, 4.0, 0.5, 2.0, 2.0, 0.0])
    plan = [Phase(1, (None, None, 1.0)), Phase(2, (None, 1.0, 1.0)), Phase(5, (1.0, 1.0, 1.0))]
    result = toy_fit(toy_job(model, plan=plan, validate=losses), options(patience=2))
    assert (result.steps, result.best_step) == (7 * 4, 5 * 4)
    # A plan that never thaws all has its one phase to wait in.
    losses = Losses(model, [1.0, 2.0, 3.0, 0.0])
    last = toy_job(model, plan=[Phase(4, (None, None, 1.0))], validate=losses)
    assert toy_fit(last, options(patience=2)).steps == 3 * 4


def test_validation_within_epochs_and_never_twice_at_their_ends() -> None:
    model = Three()
    losses = Losses(model, [9.0, 8.0, 7.0, 6.0, 5.0])
    toy_fit(
        toy_job(model, batches=[Number()] * 6, plan=full([1.0] * 3, 1), validate=losses),
        options(validate_every=2),
    )
    assert [-values[0] for values in losses.seen] == [2, 4, 6]


def test_the_last_weights_stay_where_there_is_no_validation(tmp_path: Path) -> None:
    model = Three()
    tracker = Tracker(tmp_path / "log.jsonl")
    toy_fit(toy_job(model), options(patience=1), tracker)
    assert model.values() == [-8.0] * 3
    assert not model.training
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    # The loss is the sum of the parameters, before each step: 0, -3, -6, -9 in the first epoch.
    assert records == [
        {"step": 4, "epoch": 0, "train_loss": -4.5},
        {"step": 8, "epoch": 1, "train_loss": -16.5},
    ]


def test_steps_can_be_limited_within_an_epoch() -> None:
    model = Three()
    losses = Losses(model, [2.0, 1.0])
    result = toy_fit(toy_job(model, validate=losses), options(max_steps=6))
    assert result.steps == 6
    assert [-values[0] for values in losses.seen] == [4, 6]


def test_a_penalty_that_is_no_number_stops_the_run() -> None:
    model = Three()
    job = toy_job(model)

    def loss(batch: Number, carry: Carry) -> StepResult:
        total = torch.stack([*model.parts]).sum()
        return StepResult(total * math.nan, total.detach(), 1)

    with pytest.raises(TrainingError, match=r"^loss with its penalties is nan at step 0 "):
        toy_fit(replace(job, loss=loss), options())


def test_state_is_carried_from_batch_to_batch_and_not_over_epochs() -> None:
    carried: list[float | None] = []

    def look(model: Three, result: StepResult, carry: Carry) -> None:
        carried.append(float(carry["seen"]) if carry else None)

    toy_fit(toy_job(Three(), look=look), options())
    assert carried == [None, 1, 2, 3] * 2


def test_nt_asgd_validates_and_keeps_the_averages() -> None:
    model = Three()
    # Six losses fill the interval of five; the seventh is worse than the first: averaging begins.
    losses = Losses(model, [1.0] * 6 + [2.0] + [0.5, 0.4])
    job = toy_job(model, batches=[Number()], plan=full([1.0] * 3, 9), validate=losses)
    result = toy_fit(job, options())
    assert [-values[0] for values in losses.seen] == [1, 2, 3, 4, 5, 6, 7, 8, 8.5]
    assert result.best_step == 9
    assert model.values() == [-8.5] * 3


class Shown(Silent):
    """Keeps what a display is told."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.values: dict[str, float] = {}

    def begin(self, title: str, total_steps: int, done_steps: int) -> None:
        self.events.append((title, total_steps, done_steps))

    def advance(self, step: int, values: dict[str, float]) -> None:
        self.events.append(step)
        self.values = values

    def note(self, text: str) -> None:
        self.events.append(text)

    def end(self) -> None:
        self.events.append("end")


def test_the_display_is_told_all() -> None:
    model, display = Three(), Shown()
    job = toy_job(
        model, batches=[Number()], plan=full([0.5] * 3, 2), validate=Losses(model, [2.0, 1.5])
    )
    toy_fit(job, options(unit="documents"), Tracker(display=display))
    assert display.events == [
        ("documents", 2, 0),
        1,
        "epoch 1/2, step 1: train loss 0.0000, valid_loss 2",
        2,
        "epoch 2/2, step 2: train loss -1.5000, valid_loss 1.5",
        "end",
    ]
    assert display.values.keys() == {"loss", "lr", "documents/s"}
    assert display.values["lr"] == 0.5


def test_the_display_ends_when_the_run_breaks_off() -> None:
    display = Shown()
    with pytest.raises(TrainingError):
        toy_fit(toy_job(Three(), batches=[Number(math.nan)]), options(), Tracker(display=display))
    assert display.events[-1] == "end"


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[Checkpoints]:
    """Checkpoints and log of a run of eight steps."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    tracker = Tracker(tmp_path / "log.jsonl")
    toy_fit(toy_job(Three()), options(checkpoint_seconds=0.0), tracker, checkpoints)
    yield checkpoints


def test_the_two_newest_checkpoints_are_kept(finished: Checkpoints) -> None:
    assert finished.steps() == [7, 8]


def test_checkpoints_wait_for_their_time(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    toy_fit(toy_job(Three()), options(checkpoint_seconds=3600.0), checkpoints=checkpoints)
    assert checkpoints.steps() == []


class SlowClock:
    """The loop's clock, of which every step takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def look(self, model: Three, result: StepResult, carry: Carry) -> None:
        self.now += 1.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SlowClock:
    """In place of the loop's `time` alone: by the real one live the services of other tests."""
    slow = SlowClock()
    monkeypatch.setattr("ulmfit.train.loop.time", slow)
    return slow


def test_checkpoints_are_so_many_seconds_apart(tmp_path: Path, clock: SlowClock) -> None:
    places = Checkpoints(tmp_path, keep=9)
    toy_fit(toy_job(Three(), look=clock.look), options(checkpoint_seconds=3.0), checkpoints=places)
    assert places.steps() == [3, 6]


def test_the_seconds_of_all_sessions_are_counted(tmp_path: Path, clock: SlowClock) -> None:
    for _ in range(3):
        with pytest.raises(Interrupted):
            deadline = options(resume=True, deadline=0.0)
            toy_fit(toy_job(Three(), look=clock.look), deadline, checkpoints=Checkpoints(tmp_path))
        clock.now += 100.0
    job, places = toy_job(Three(), look=clock.look), Checkpoints(tmp_path)
    assert toy_fit(job, options(resume=True), None, places).seconds == 8.0


def test_a_deadline_saves_and_stops_and_the_run_goes_on_where_it_was(tmp_path: Path) -> None:
    checkpoints, model = Checkpoints(tmp_path / "checkpoints"), Three()
    with pytest.raises(Interrupted, match=r"stopped at step 1\. Run the same command with"):
        toy_fit(toy_job(model), options(deadline=0.0), None, checkpoints)
    assert checkpoints.steps() == [1]
    again = Three()
    late = time.monotonic() + 1000
    result = toy_fit(toy_job(again), options(resume=True, deadline=late), None, checkpoints)
    assert result.steps == 8
    assert again.values() == [-8.0] * 3


def test_a_deadline_after_the_last_step_stops_nothing() -> None:
    assert toy_fit(toy_job(Three()), options(max_steps=1, deadline=0.0)).steps == 1


def test_resuming_where_there_is_no_checkpoint_starts_the_log_again(
    finished: Checkpoints,
) -> None:
    finished.clear()
    log = finished.folder.parent / "log.jsonl"
    before = log.read_text()
    tracker = Tracker(log)
    toy_fit(toy_job(Three()), options(resume=True), tracker, finished)
    assert log.read_text() == before


def test_a_new_run_removes_what_an_old_one_left(finished: Checkpoints) -> None:
    # Its checkpoints would be newer by number than those of the new run, and be resumed later.
    log = finished.folder.parent / "log.jsonl"
    tracker = Tracker(log)
    toy_fit(toy_job(Three(), plan=full([1.0] * 3, 1)), options(), tracker, finished)
    assert finished.steps() == []
    assert len(log.read_text().splitlines()) == 1


def test_resume_without_checkpoints_is_a_run_from_the_start() -> None:
    model = Three()
    toy_fit(toy_job(model), options(resume=True))
    assert model.values() == [-8.0] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process may map")
def test_a_limit_on_memory_ends_the_run_with_advice() -> None:
    """The allocator refuses a real request; the limit on this process is put back afterwards."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    job = toy_job(Three())

    def loss(batch: Number, carry: Carry) -> StepResult:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**28, before[1]))
        held = torch.ones(2**30)
        return StepResult(held.sum(), held.sum(), 1)

    try:
        with pytest.raises(TrainingError) as caught:
            toy_fit(replace(job, loss=loss), options())
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert caught.value.exit_code == 1
    assert str(caught.value).startswith(
        "there is not enough memory for a step of training. Take a smaller batch (the setting "
        "batch_size) or a shorter window (bptt; "
    )


def test_another_error_of_torch_is_left_as_it_is() -> None:
    def loss(batch: Number, carry: Carry) -> StepResult:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        toy_fit(replace(toy_job(Three()), loss=loss), options())
