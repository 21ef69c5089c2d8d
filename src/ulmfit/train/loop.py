"""The one training loop: it knows losses, batches, schedules and plans, and no stage."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from ulmfit.errors import Interrupted, TrainingError
from ulmfit.optim.nt_asgd import NTASGD
from ulmfit.optim.unfreezing import Phase
from ulmfit.runtime import StopRequest, stop_on_signal
from ulmfit.settings import OptimizerSettings, ScheduleSettings
from ulmfit.train import checkpoint as ckpt
from ulmfit.train.checkpoint import Checkpoints, Snapshot
from ulmfit.train.clock import Batch, Batches, Clock
from ulmfit.train.tracker import Speed, Tracker

if TYPE_CHECKING:
    from accelerate import Accelerator

Carry = dict[str, Tensor]
Metrics = dict[str, float]


B = TypeVar("B", bound=Batch, contravariant=True)


@dataclass(frozen=True)
class StepResult:
    """One forward pass.

    Attributes:
        loss: scalar that is differentiated.
        metric: what is reported and averaged: the loss without its penalties, in nats per item.
        n_items: tokens or documents in the batch.
        carry: state for the next batch of the epoch, detached (an LM's hidden state).
    """

    loss: Tensor
    metric: Tensor
    n_items: int
    carry: Carry = field(default_factory=dict)


class Loss(Protocol[B]):
    """Runs the model on a batch."""

    def __call__(self, batch: B, carry: Carry) -> StepResult:
        """`carry` is the previous batch's, empty at the start of an epoch."""


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


@dataclass
class Progress:
    """Where a run is; all of it goes into checkpoints.

    Attributes:
        epoch: current epoch.
        batch: next batch of that epoch.
        step: steps done.
        metric_sum: sum of the training metric over the items since the last validation.
        n_items: number of these items.
        best: best validation metrics so far.
        best_step: when.
        since_best: validations since.
        seconds: time spent in earlier sessions of the run.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    metric_sum: float = 0.0
    n_items: int = 0
    best: Metrics = field(default_factory=dict)
    best_step: int = 0
    since_best: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class FitResult:
    """How a run ended: its best validation metrics, when they were, steps and seconds in all."""

    best: Metrics
    best_step: int
    steps: int
    seconds: float


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
        TrainingError: the loss is not finite, in training or on validation data.
        InputError: the checkpoint to resume from cannot be read.
        SettingsError: it is of a run of other settings or data.
        StorageError: a checkpoint or the log cannot be written.
        Interrupted: the user stopped the run; a checkpoint has been written.
    """
    run = _Run(job, options, accelerator, tracker, checkpoints)
    snapshot = checkpoints.load_latest() if checkpoints is not None and options.resume else None
    if snapshot is not None:
        run.restore(snapshot)
    else:
        run.start_afresh()
    with stop_on_signal() as stop:
        run.train(stop)
    return run.finish()


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
        self.progress = Progress()
        self.carry: Carry = {}
        self.best_weights: dict[str, Tensor] = {}
        self.optimizer = make_optimizer(job.groups, options.optimizer)
        self.phases = [phase for phase in job.plan for _ in range(phase.epochs)]
        self.clock = Clock(job.plan, job.batches, options.schedule, options.max_steps)
        self.identity = {**options.identity, "number of steps": self.clock.total}
        self.started = self.saved = time.monotonic()
        self.speed = Speed()

    def train(self, stop: StopRequest) -> None:
        self.tracker.display.begin(self.options.unit, self.clock.total, self.progress.step)
        try:
            while self.progress.epoch < len(self.phases) and not self.exhausted():
                self.run_epoch(stop)
        finally:
            self.tracker.display.end()

    def run_epoch(self, stop: StopRequest) -> None:
        progress = self.progress
        batches = self.job.batches.epoch(progress.epoch)
        phase = self.phases[progress.epoch]
        thaw(self.job.groups, phase)
        for position in range(progress.batch, len(batches)):
            self.step(batches[position])
            progress.batch = position + 1
            last = progress.batch == len(batches) or progress.step == self.clock.total
            every = self.options.validate_every
            if last or (every and progress.step % every == 0):
                self.validate()
            if last:
                progress.epoch, progress.batch, self.carry = progress.epoch + 1, 0, {}
            self.save_if_due(stop)
            if self.exhausted():
                return

    def exhausted(self) -> bool:
        patience = self.options.patience
        tired = patience is not None and self.progress.since_best >= patience
        return tired or self.progress.step >= self.clock.total

    def step(self, batch: Batch) -> None:
        progress = self.progress
        rates = self.clock.set_rates(self.optimizer, progress.step, progress.epoch, batch.lr_scale)
        self.job.model.train()
        with self.accelerator.autocast():
            result = self.job.loss(batch, self.carry)
        metric = float(result.metric)
        self.require_finite(metric, "loss")
        self.require_finite(float(result.loss.detach()), "loss with its penalties")
        self.accelerator.backward(result.loss)
        clip = self.options.optimizer.clip
        if clip is not None:
            self.accelerator.clip_grad_norm_(self.job.model.parameters(), clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.carry = result.carry
        progress.step += 1
        progress.metric_sum += metric * result.n_items
        progress.n_items += result.n_items
        self.tracker.display.advance(
            progress.step,
            {
                "loss": progress.metric_sum / progress.n_items,
                "lr": max(rates),
                f"{self.options.unit}/s": self.speed.update(result.n_items),
            },
        )

    def require_finite(self, value: float, name: str) -> None:
        if not math.isfinite(value):
            rate = max(group["lr"] for group in self.optimizer.param_groups)
            raise TrainingError(
                f"{name} is {value} at step {self.progress.step} (learning rate {rate:.2g})",
                expected="a finite number",
                hint="Lower the learning rate, or clip gradients (optimizer.clip).",
            )

    def validate(self) -> None:
        progress = self.progress
        train = progress.metric_sum / max(1, progress.n_items)
        progress.metric_sum, progress.n_items = 0.0, 0
        metrics: Metrics = {}
        if self.job.validate is not None:
            self.job.model.eval()
            with torch.no_grad(), self.accelerator.autocast(), self.averaged():
                metrics = self.job.validate()
                self.require_finite(metrics[self.job.monitor], self.job.monitor)
                self.keep_if_best(metrics)
            if isinstance(self.optimizer, NTASGD):
                self.optimizer.observe(metrics[self.job.monitor])
        self.tracker.record(step=progress.step, epoch=progress.epoch, train_loss=train, **metrics)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self.tracker.display.note(
            f"epoch {progress.epoch + 1}/{len(self.phases)}, step {progress.step}: "
            f"train loss {train:.4f}{', ' + shown if shown else ''}"
        )
        self.speed = Speed()

    def averaged(self) -> AbstractContextManager[None]:
        return self.optimizer.averaged() if isinstance(self.optimizer, NTASGD) else nullcontext()

    def keep_if_best(self, metrics: Metrics) -> None:
        progress, monitor = self.progress, self.job.monitor
        if progress.best and not metrics[monitor] < progress.best[monitor]:
            progress.since_best += 1
            return
        progress.best, progress.best_step, progress.since_best = metrics, progress.step, 0
        self.best_weights = ckpt.weights(self.job.model)

    def save_if_due(self, stop: StopRequest) -> None:
        deadline = self.options.deadline
        late = deadline is not None and time.monotonic() >= deadline and not self.exhausted()
        stopping = bool(stop) or late  # asked once: a signal may come at any line
        due = time.monotonic() - self.saved >= self.options.checkpoint_seconds
        if self.checkpoints is not None and (due or stopping):
            self.checkpoints.save(self.progress.step, self.snapshot())
            self.saved = time.monotonic()
        if stopping:
            kept = "Run the same command with --resume to go on." if self.checkpoints else None
            raise Interrupted(f"stopped at step {self.progress.step}", hint=kept)

    def snapshot(self) -> Snapshot:
        moments, other = ckpt.optimizer_state(self.optimizer)
        tensors = {
            **ckpt.named(ckpt.MODEL, ckpt.weights(self.job.model)),
            **ckpt.named(ckpt.BEST, self.best_weights),
            **ckpt.named(ckpt.OPTIMIZER, moments),
            **ckpt.named(ckpt.CARRY, self.carry),
            **ckpt.named(ckpt.RANDOM, ckpt.random_state()),
        }
        losses = self.optimizer.losses if isinstance(self.optimizer, NTASGD) else []
        progress = asdict(self.progress)
        progress["seconds"] += time.monotonic() - self.started
        state = {
            "progress": progress,
            "optimizer": other,
            "nt_asgd_losses": losses,
            "log_position": self.tracker.position(),
            "identity": self.identity,
        }
        return Snapshot(tensors, state)

    def start_afresh(self) -> None:
        """Drop what an earlier run left: it must neither be resumed later nor stand in the log."""
        if self.checkpoints is not None:
            self.checkpoints.clear()
        self.tracker.rewind(0)

    def restore(self, snapshot: Snapshot) -> None:
        ckpt.refuse_other_run(snapshot.state.get("identity", {}), self.identity)
        self.job.model.load_state_dict(snapshot.part(ckpt.MODEL))
        device = self.accelerator.device
        self.best_weights = {k: v.to(device) for k, v in snapshot.part(ckpt.BEST).items()}
        ckpt.restore_optimizer(
            self.optimizer, snapshot.part(ckpt.OPTIMIZER), snapshot.state["optimizer"]
        )
        if isinstance(self.optimizer, NTASGD):
            self.optimizer.losses = snapshot.state["nt_asgd_losses"]
        self.carry = {k: v.to(device) for k, v in snapshot.part(ckpt.CARRY).items()}
        ckpt.restore_random_state(snapshot.part(ckpt.RANDOM))
        self.progress = Progress(**snapshot.state["progress"])
        self.tracker.rewind(snapshot.state["log_position"])
        self.tracker.display.note(f"resumed at step {self.progress.step}")

    def finish(self) -> FitResult:
        if self.best_weights:
            self.job.model.load_state_dict(self.best_weights)
        self.job.model.eval()
        progress = self.progress
        seconds = progress.seconds + time.monotonic() - self.started
        return FitResult(progress.best, progress.best_step, progress.step, seconds)


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
