"""What a training run is between two steps: all that a checkpoint has to hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ulmfit.optim.nt_asgd import NTASGD
from ulmfit.train import checkpoint as ckpt
from ulmfit.train.checkpoint import Snapshot

Carry = dict[str, Tensor]
Metrics = dict[str, float]


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
        since_best: validations without a better one, those before the last phase of the plan not
            counted.
        seconds: time spent in earlier sessions of the run.
        rate_factor: of all learning rates; under 1 once the run had to go back.
        steps_back: how often it went back.
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
    rate_factor: float = 1.0
    steps_back: int = 0


class RunState:
    """Weights, optimiser and position of a run.

    Args:
        model: the weights.
        optimizer: of these weights.
        device: where they are.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, device: torch.device) -> None:
        self.model, self.optimizer, self.device = model, optimizer, device
        self.progress = Progress()
        self.carry: Carry = {}
        self.best_weights: dict[str, Tensor] = {}

    def snapshot(self, log_position: int) -> Snapshot:
        """All of it but for the best weights, as it is now; later steps write into some of it."""
        moments, other = ckpt.optimizer_state(self.optimizer)
        tensors = {
            **ckpt.named(ckpt.MODEL, ckpt.weights(self.model)),
            **ckpt.named(ckpt.OPTIMIZER, moments),
            **ckpt.named(ckpt.CARRY, self.carry),
            **ckpt.named(ckpt.RANDOM, ckpt.random_state()),
        }
        losses = list(self.optimizer.losses) if isinstance(self.optimizer, NTASGD) else []
        state = {
            "progress": asdict(self.progress),
            "optimizer": other,
            "nt_asgd_losses": losses,
            "log_position": log_position,
        }
        return Snapshot(tensors, state)

    def restore(self, snapshot: Snapshot) -> None:
        """Inverse of `snapshot`; the optimiser goes on in the snapshot's own tensors."""
        self.model.load_state_dict(snapshot.part(ckpt.MODEL))
        ckpt.restore_optimizer(
            self.optimizer, snapshot.part(ckpt.OPTIMIZER), snapshot.state["optimizer"]
        )
        if isinstance(self.optimizer, NTASGD):
            self.optimizer.losses = list(snapshot.state["nt_asgd_losses"])
        self.carry = {k: v.to(self.device) for k, v in snapshot.part(ckpt.CARRY).items()}
        ckpt.restore_random_state(snapshot.part(ckpt.RANDOM))
        self.progress = Progress(**snapshot.state["progress"])

    def keep_best(self) -> None:
        """Take the weights as they are for the best."""
        self.best_weights = ckpt.weights(self.model)
