"""One step of training: forward pass, gradients and update, on one batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

from ulmfit.train.clock import Batch
from ulmfit.train.recovery import require_finite
from ulmfit.train.run_state import Carry
from ulmfit.train.together import add_gradients, whole_batch

if TYPE_CHECKING:
    from accelerate import Accelerator

B = TypeVar("B", bound=Batch, contravariant=True)


@dataclass(frozen=True)
class StepResult:
    """One forward pass; of several processes (`ranks`), on this one's part of the batch.

    Attributes:
        loss: scalar that is differentiated; the processes' add up to that of the whole batch.
        metric: what is reported and averaged: the loss without its penalties, in nats per item;
            the processes' add up as well.
        n_items: tokens or documents in this process's part of the batch.
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


def train_step(
    loss: Loss[B],
    batch: B,
    carry: Carry,
    parameters: list[nn.Parameter],
    optimizer: Optimizer,
    accelerator: Accelerator,
    clip: float | None,
) -> tuple[Carry, float, int]:
    """Forward pass, gradients and update; of several processes, each on its part of the batch.

    Args:
        loss: runs the model.
        batch: for it.
        carry: what the batch before has left.
        parameters: all that are trained.
        optimizer: with the rates of this step.
        accelerator: device and mixed precision.
        clip: largest norm of the gradient, None for no clipping.

    Returns:
        What is carried on; metric and number of items of the whole batch.

    Raises:
        NotFinite: the loss is no number; the weights are as they were.
    """
    with accelerator.autocast():
        result = loss(batch, carry)
    accelerator.backward(result.loss)
    # It also waits for a GPU, which works on its own.
    metric, penalized, n_items = whole_batch(result.metric, result.loss, result.n_items, parameters)
    require_finite(metric, "loss")
    require_finite(penalized, "loss with its penalties")
    add_gradients(parameters)
    if clip is not None:
        accelerator.clip_grad_norm_(parameters, clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return result.carry, metric, n_items
