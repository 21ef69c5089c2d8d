"""Where a run is on its schedule: steps in all, and the rate of each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from torch.optim import Optimizer

from ulmfit.optim import schedules
from ulmfit.optim.unfreezing import Phase
from ulmfit.settings import ScheduleSettings


class Batch(Protocol):
    """What the loop needs to know of a batch."""

    @property
    def lr_scale(self) -> float:
        """Factor of the learning rate for this batch."""


B_co = TypeVar("B_co", bound=Batch, covariant=True)


class Batches(Protocol[B_co]):
    """Batches of each epoch, by position, the same on every call."""

    def epoch(self, epoch: int) -> Sequence[B_co]:
        """All batches of an epoch."""

    def count(self, epoch: int) -> int:
        """How many they are, without making them."""


class Clock:
    """Which step of how many, for the schedule: of the whole run, or of the current phase."""

    def __init__(
        self,
        plan: Sequence[Phase],
        batches: Batches[Any],
        settings: ScheduleSettings,
        max_steps: int | None,
    ) -> None:
        self.settings = settings
        phase_of_epoch = [i for i, phase in enumerate(plan) for _ in range(phase.epochs)]
        self.phases = [plan[i] for i in phase_of_epoch]
        self.per_epoch = [batches.count(epoch) for epoch in range(len(phase_of_epoch))]
        self.total = min([sum(self.per_epoch), *([max_steps] if max_steps else [])])
        lengths = [0] * len(plan)
        for epoch, phase in enumerate(phase_of_epoch):
            lengths[phase] += self.per_epoch[epoch]
        starts = [sum(lengths[:i]) for i in range(len(lengths))]
        self.span_of_epoch = [(starts[p], lengths[p]) for p in phase_of_epoch]

    def epochs(self, steps: int) -> float:
        """How many epochs so many steps are; the last one in part."""
        whole = 0
        for length in self.per_epoch:
            if steps < length:
                return whole + steps / length
            whole, steps = whole + 1, steps - length
        return float(whole)

    def set_rates(
        self, optimizer: Optimizer, step: int, epoch: int, lr_scale: float
    ) -> list[float]:
        """Set every group's learning rate (and the one-cycle's beta1) for the coming step."""
        start, length = 0, self.total
        cut_frac = self.settings.cut_frac
        if self.settings.scope == "phase":
            start, length = self.span_of_epoch[epoch]
            length = min(length, self.total - start)
            if self.settings.frozen_cut_frac is not None and start + length < self.total:
                cut_frac = self.settings.frozen_cut_frac
        factor = schedule_factor(self.settings, step - start, length, cut_frac) * lr_scale
        rates = [(rate or 0.0) * factor for rate in self.phases[epoch].rates]
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
            if self.settings.kind == "one_cycle" and "betas" in group:
                momentum = schedules.one_cycle_momentum(step - start, length, pct_start=cut_frac)
                group["betas"] = (momentum, group["betas"][1])
        return rates


def schedule_factor(settings: ScheduleSettings, t: int, T: int, cut_frac: float) -> float:
    """eta_t / eta_max of the chosen schedule."""
    match settings.kind:
        case "stlr":
            return schedules.slanted_triangular(t, T, cut_frac=cut_frac, ratio=settings.ratio)
        case "one_cycle":
            return schedules.one_cycle(t, T, pct_start=cut_frac)
        case "cosine":
            return schedules.cosine(t, T)
        case "warmup_stable_decay":
            return schedules.warmup_stable_decay(t, T)
        case "constant":
            return schedules.constant(t, T)
