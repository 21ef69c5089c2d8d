"""The one training loop: it knows losses, batches, schedules and plans, and no stage."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from ulmfit import ranks
from ulmfit.errors import Interrupted, TrainingError, is_out_of_memory
from ulmfit.optim import moments
from ulmfit.optim.nt_asgd import NTASGD
from ulmfit.optim.unfreezing import Phase
from ulmfit.runtime import StopRequest, stop_on_signal
from ulmfit.settings import OptimizerSettings, ScheduleSettings
from ulmfit.train import checkpoint as ckpt
from ulmfit.train.checkpoint import Checkpoints, Snapshot
from ulmfit.train.clock import Batch, Batches, Clock
from ulmfit.train.recovery import NotFinite, Recovery, require_finite
from ulmfit.train.run_state import Carry, Metrics, RunState
from ulmfit.train.step import Loss, StepResult, train_step
from ulmfit.train.together import begin_alike, gather_own, take_own
from ulmfit.train.tracker import Speed, Tracker

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Carry", "FitResult", "Job", "Loss", "Metrics", "Options", "StepResult", "fit"]

B = TypeVar("B", bound=Batch, contravariant=True)


@dataclass(frozen=True)
class Job(Generic[B]):
    """What a stage hands to the loop.

    Attributes:
        model: the weights to train, to keep and to restore.
        groups: its parameters by layer group, from the bottom up.
        batches: training data.
        loss: forward pass.
        validate: metrics on validation data, None for none.
        monitor: name of the metric that decides which epoch was best (lower is better).
        plan: which groups train when, and how fast.
    """

    model: nn.Module
    groups: list[list[nn.Parameter]]
    batches: Batches[Any]
    loss: Loss[B]
    validate: Callable[[], Metrics] | None
    monitor: str
    plan: list[Phase]


@dataclass(frozen=True)
class Options:
    """How to run a job.

    Attributes:
        optimizer: kind and constants.
        schedule: shape of the learning rate.
        max_steps: stop after so many steps, None for all epochs.
        patience: stop after so many validations without improvement, None for never.
        validate_every: validate also every so many steps, not only at the end of an epoch.
        checkpoint_seconds: least time between two checkpoints.
        resume: go on from the newest checkpoint, where there is one.
        deadline: save and stop at this time of `time.monotonic`, None for never.
        unit: name of the items, for display ("tokens", "documents").
        identity: what a resumed run must share with the first one (settings, seed, checksum of
            the data), as JSON values; the loop adds the number of steps.
    """

    optimizer: OptimizerSettings
    schedule: ScheduleSettings
    max_steps: int | None = None
    patience: int | None = None
    validate_every: int | None = None
    checkpoint_seconds: float = 120.0
    resume: bool = False
    deadline: float | None = None
    unit: str = "tokens"
    identity: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class FitResult:
    """How a run ended: its best validation metrics, when they were; steps, seconds and epochs."""

    best: Metrics
    best_step: int
    steps: int
    seconds: float
    epochs: float


def fit(
    job: Job[Any],
    options: Options,
    accelerator: Accelerator,
    tracker: Tracker,
    checkpoints: Checkpoints | None = None,
) -> FitResult:
    """Train until the plan, the steps or the patience end; the model then holds its best weights.

    Args:
        job: model, data, loss, plan.
        options: optimiser, schedule, limits.
        accelerator: device and mixed precision.
        tracker: log and display.
        checkpoints: where to save the run, None for not at all; what an earlier run left there is
            removed unless `options.resume`.

    Raises:
        TrainingError: the memory does not suffice; or the loss is not finite, in training or on
            validation data, and lower rates from the last good state on did not help.
        InputError: none of the checkpoints to resume from can be read.
        SettingsError: it is of a run of other settings or data.
        StorageError: a checkpoint or the log cannot be written.
        Interrupted: the user stopped the run; a checkpoint has been written.
    """
    run = _Run(job, options, accelerator, tracker, checkpoints)
    snapshot = None
    if checkpoints is not None and options.resume:
        snapshot = checkpoints.load_latest(tracker.display.note)
    if snapshot is not None:
        run.restore(snapshot)
    else:
        run.start_afresh()
    with stop_on_signal() as stop, _memory_told():
        run.train(stop)
    return run.finish()


@contextmanager
def _memory_told() -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            "there is not enough memory for a step of training",
            hint="Take a smaller batch (the setting batch_size) or a shorter window (bptt; of the "
            "classifier chunk and grad_tokens), for example --set classifier.batch_size=16.",
        ) from error


class _Run:
    def __init__(
        self,
        job: Job[Any],
        options: Options,
        accelerator: Accelerator,
        tracker: Tracker,
        checkpoints: Checkpoints | None,
    ) -> None:
        self.job, self.options, self.accelerator = job, options, accelerator
        self.tracker, self.checkpoints = tracker, checkpoints
        self.parameters = [*job.model.parameters()]
        self.optimizer = make_optimizer(job.groups, options.optimizer)
        self.state = RunState(job.model, self.optimizer, accelerator.device)
        self.recovery = Recovery(self.state, tracker)
        self.clock = Clock(job.plan, job.batches, options.schedule, options.max_steps)
        self.identity = {**options.identity, "number of steps": self.clock.total}
        self.identity[ckpt.PROCESSES] = ranks.size()
        self.started = self.saved = time.monotonic()
        self.speed = Speed()

    def train(self, stop: StopRequest) -> None:
        self.tracker.display.begin(self.options.unit, self.clock.total, self.state.progress.step)
        try:
            while self.state.progress.epoch < len(self.clock.phases) and not self.exhausted():
                try:
                    self.run_epoch(stop)
                except NotFinite as fault:
                    self.go_back(fault)
        finally:
            self.tracker.display.end()

    def run_epoch(self, stop: StopRequest) -> None:
        progress = self.state.progress
        batches = self.job.batches.epoch(progress.epoch)
        phase = self.clock.phases[progress.epoch]
        thaw(self.job.groups, phase)
        for position in range(progress.batch, len(batches)):
            self.step(batches[position])
            progress.batch = position + 1
            last = progress.batch == len(batches) or progress.step == self.clock.total
            every = self.options.validate_every
            validating = last or bool(every and progress.step % every == 0)
            if validating:
                self.recovery.require_finite_weights()
                self.validate()
            if last:
                progress.epoch, progress.batch, self.state.carry = progress.epoch + 1, 0, {}
            if validating:
                self.recovery.keep()
            self.save_if_due(stop)
            if self.exhausted():
                return

    def exhausted(self) -> bool:
        patience = self.options.patience
        tired = patience is not None and self.state.progress.since_best >= patience
        return tired or self.state.progress.step >= self.clock.total

    def step(self, batch: Batch) -> None:
        progress = self.state.progress
        scale = batch.lr_scale * progress.rate_factor
        rates = self.clock.set_rates(self.optimizer, progress.step, progress.epoch, scale)
        self.job.model.train()
        self.state.carry, metric, n_items = train_step(
            self.job.loss,
            batch,
            self.state.carry,
            self.parameters,
            self.optimizer,
            self.accelerator,
            self.options.optimizer.clip,
        )
        progress.step += 1
        if progress.step % moments.EVERY == 0:
            moments.forget_tiny_moments(self.optimizer)
        progress.metric_sum += metric * n_items
        progress.n_items += n_items
        self.tracker.display.advance(
            progress.step,
            {
                "loss": progress.metric_sum / progress.n_items,
                "lr": max(rates),
                f"{self.options.unit}/s": self.speed.update(n_items),
            },
        )

    def go_back(self, fault: NotFinite) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.recovery.go_back(fault)
        if self.checkpoints is not None:
            # Those of the steps that are undone; they would be taken for the newest.
            self.checkpoints.drop_from(self.state.progress.step)
            self.save()

    def validate(self) -> None:
        progress = self.state.progress
        train = progress.metric_sum / max(1, progress.n_items)
        progress.metric_sum, progress.n_items = 0.0, 0
        metrics: Metrics = {}
        if self.job.validate is not None:
            self.job.model.eval()
            with torch.no_grad(), self.accelerator.autocast(), self.averaged():
                metrics = ranks.first("validation", self.job.validate)
                for name, value in metrics.items():
                    require_finite(value, name)
                self.keep_if_best(metrics)
            if isinstance(self.optimizer, NTASGD):
                self.optimizer.observe(metrics[self.job.monitor])
        self.tracker.record(step=progress.step, epoch=progress.epoch, train_loss=train, **metrics)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self.tracker.display.note(
            f"epoch {progress.epoch + 1}/{len(self.clock.phases)}, step {progress.step}: "
            f"train loss {train:.4f}{', ' + shown if shown else ''}"
        )
        self.speed = Speed()

    def averaged(self) -> AbstractContextManager[None]:
        return self.optimizer.averaged() if isinstance(self.optimizer, NTASGD) else nullcontext()

    def keep_if_best(self, metrics: Metrics) -> None:
        progress, monitor = self.state.progress, self.job.monitor
        best = progress.best.get(monitor, math.inf)
        if metrics[monitor] < best:
            progress.since_best = 0
        else:
            # What is frozen has not had its turn yet: no reason to lose patience.
            progress.since_best += self.clock.phases[progress.epoch] is self.job.plan[-1]
        if metrics[monitor] <= best:  # of equals the later one: its rate was lower
            progress.best, progress.best_step = metrics, progress.step
            self.state.keep_best()

    def save_if_due(self, stop: StopRequest) -> None:
        deadline = self.options.deadline
        late = deadline is not None and time.monotonic() >= deadline and not self.exhausted()
        due = time.monotonic() - self.saved >= self.options.checkpoint_seconds
        # Asked once: a signal may come at any line. It is for all processes; the first one's clock
        # counts.
        asked = ranks.exchange("after a step", bool(stop), late, due)
        stopping = any(row[0] for row in asked) or bool(asked[0][1])
        due = bool(asked[0][2])
        if self.checkpoints is not None and (due or stopping):
            self.save()
        if stopping:
            kept = "Run the same command with --resume to go on." if self.checkpoints else None
            raise Interrupted(f"stopped at step {self.state.progress.step}", hint=kept)

    def save(self) -> None:
        assert self.checkpoints is not None
        snapshot = self.state.snapshot(self.tracker.position())
        snapshot.tensors |= ckpt.named(ckpt.BEST, self.state.best_weights)
        snapshot.state["progress"]["seconds"] += time.monotonic() - self.started
        snapshot.state["identity"] = self.identity
        self.recovery.add_to(snapshot)
        gather_own(snapshot)
        self.checkpoints.save(self.state.progress.step, snapshot)
        self.saved = time.monotonic()

    def start_afresh(self) -> None:
        """Drop what an earlier run left: it must neither be resumed later nor stand in the log."""
        if self.checkpoints is not None:
            self.checkpoints.clear()
        begin_alike(self.job.model)
        self.tracker.rewind(0)
        self.recovery.keep()

    def restore(self, snapshot: Snapshot) -> None:
        ckpt.refuse_other_run(snapshot.state.get("identity", {}), self.identity)
        take_own(snapshot)
        self.state.restore(snapshot)
        device = self.accelerator.device
        self.state.best_weights = {k: v.to(device) for k, v in snapshot.part(ckpt.BEST).items()}
        self.recovery.restore_from(snapshot)
        self.tracker.rewind(snapshot.state["log_position"])
        self.tracker.display.note(f"resumed at step {self.state.progress.step}")

    def finish(self) -> FitResult:
        if self.state.best_weights:
            self.job.model.load_state_dict(self.state.best_weights)
        self.job.model.eval()
        progress = self.state.progress
        seconds = progress.seconds + time.monotonic() - self.started
        epochs = self.clock.epochs(progress.step)
        return FitResult(progress.best, progress.best_step, progress.step, seconds, epochs)


def make_optimizer(groups: list[list[nn.Parameter]], settings: OptimizerSettings) -> Optimizer:
    """One parameter group per layer group; rates are set before each step."""
    parameters: list[dict[str, Any]] = [{"params": group} for group in groups]
    if settings.kind == "nt_asgd":
        return NTASGD(parameters, weight_decay=settings.weight_decay)
    return AdamW(
        parameters,
        betas=(settings.beta1, settings.beta2),
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def thaw(groups: list[list[nn.Parameter]], phase: Phase) -> None:
    """Freeze the groups without a rate: nothing below the lowest thawed group is differentiated."""
    for group, rate in zip(groups, phase.rates, strict=True):
        for parameter in group:
            parameter.requires_grad_(rate is not None)
