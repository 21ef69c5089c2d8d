"""The smallest job for the loop: three groups of one number each, whose gradients are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ulmfit.optim.unfreezing import Phase, full
from ulmfit.runtime import make_accelerator
from ulmfit.settings import OptimizerSettings, ScheduleSettings
from ulmfit.train.checkpoint import Checkpoints
from ulmfit.train.loop import Carry, FitResult, Job, Metrics, Options, StepResult, fit
from ulmfit.train.tracker import Tracker

SGD = OptimizerSettings(kind="nt_asgd", weight_decay=0.0)
CONSTANT = ScheduleSettings(kind="constant")


@dataclass(frozen=True)
class Number:
    """A batch: the gradient of every parameter."""

    value: float = 1.0
    lr_scale: float = 1.0


class Numbers:
    """The same batches in every epoch."""

    def __init__(self, batches: Sequence[Number]) -> None:
        self.batches = batches

    def epoch(self, epoch: int) -> Sequence[Number]:
        return self.batches

    def count(self, epoch: int) -> int:
        return len(self.batches)


class Three(nn.Module):
    """Three parameters, bottom, middle and top."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in range(3))

    def groups(self) -> list[list[nn.Parameter]]:
        return [[part] for part in self.parts]

    def values(self) -> list[float]:
        return [float(part.detach()) for part in self.parts]


Look = Callable[[Three, StepResult, Carry], None]


class ToyLoss:
    """loss = batch.value * (sum of all parameters); the carry counts the batches of the epoch."""

    def __init__(self, model: Three, look: Look | None) -> None:
        self.model, self.look = model, look

    def __call__(self, batch: Number, carry: Carry) -> StepResult:
        total = torch.stack([*self.model.parts]).sum() * batch.value
        seen = carry.get("seen", torch.zeros(()))
        result = StepResult(total, total.detach(), 2, {"seen": seen + 1})
        if self.look is not None:
            self.look(self.model, result, carry)
        return result


def toy_job(
    model: Three,
    *,
    batches: Sequence[Number] = (Number(),) * 4,
    plan: list[Phase] | None = None,
    validate: Callable[[], Metrics] | None = None,
    look: Look | None = None,
) -> Job[Any]:
    return Job(
        model=model,
        groups=model.groups(),
        batches=Numbers(batches),
        loss=ToyLoss(model, look),
        validate=validate,
        monitor="valid_loss",
        plan=plan if plan is not None else full([1.0, 1.0, 1.0], 2),
    )


def options(**changes: Any) -> Options:
    values: dict[str, Any] = {"optimizer": SGD, "schedule": CONSTANT, **changes}
    return Options(**values)


def toy_fit(
    job: Job[Any],
    options: Options,
    tracker: Tracker | None = None,
    checkpoints: Checkpoints | None = None,
) -> FitResult:
    return fit(job, options, make_accelerator(cpu=True), tracker or Tracker(), checkpoints)


def leaves(loss: Tensor) -> set[int]:
    """Ids of the parameters in the graph below a loss."""
    found, todo = set(), [loss.grad_fn]
    while todo:
        node = todo.pop()
        if node is None:
            continue
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        todo += [previous for previous, _ in node.next_functions]
    return found
