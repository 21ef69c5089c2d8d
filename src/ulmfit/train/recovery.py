"""A loss that is no number: back to the last good state, slower, and only so often.

The good state is the one after the last validation (at first: the start). Which one that is depends
on nothing but the step, and it is part of every checkpoint: a run that went back and was killed
ends as one that went back and was not.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from ulmfit.errors import TrainingError
from ulmfit.train import checkpoint as ckpt
from ulmfit.train.checkpoint import Snapshot
from ulmfit.train.run_state import RunState
from ulmfit.train.tracker import Tracker

# Ours: five halvings reach a thirtieth of the rate. What fails then has another cause.
MAX_STEPS_BACK = 5
RATE_FACTOR = 0.5


class NotFinite(Exception):
    """A number that has to be finite is not; `Recovery` goes back or makes it a TrainingError."""

    def __init__(self, name: str, value: float) -> None:
        super().__init__(f"{name} is {value}")


def require_finite(value: float, name: str) -> None:
    """Check a loss before it reaches the weights.

    Raises:
        NotFinite: it is NaN or infinite.
    """
    if not math.isfinite(value):
        raise NotFinite(name, value)


class Recovery:
    """The last good state of a run.

    Args:
        state: the run.
        tracker: where to say that it went back.
    """

    def __init__(self, state: RunState, tracker: Tracker) -> None:
        self.state, self.tracker = state, tracker
        self.good: Snapshot | None = None

    def require_finite_weights(self) -> None:
        """Before the weights can be taken for the best, or for good.

        Raises:
            NotFinite: a weight is no number, which the loss did not tell yet.
        """
        for name, value in self.state.model.state_dict().items():
            if not bool(torch.isfinite(value).all()):
                raise NotFinite(f"a weight of {name}", math.nan)

    def keep(self) -> None:
        """Take the present state for good."""
        self.good = None  # the old one's memory is free before the new one takes its own
        now = self.state.snapshot(self.tracker.position())
        # Copies, in the computer's memory: steps write into the optimiser's own tensors.
        copies = {k: v.detach().to("cpu", copy=True) for k, v in now.tensors.items()}
        self.good = replace(now, tensors=copies)

    def go_back(self, fault: NotFinite) -> None:
        """Restore the good state with lower learning rates from there on.

        Raises:
            TrainingError: that was done too often, or there is nothing to go back to.
        """
        assert self.good is not None
        failed = self.state.progress
        if self.good.state["progress"]["step"] == failed.step:
            raise self._final(fault, "it came at the first step from a good state")
        if failed.steps_back >= MAX_STEPS_BACK:
            raise self._final(fault, f"{MAX_STEPS_BACK} times back at half the rate did not help")
        self.state.restore(self.good)
        progress = self.state.progress
        progress.seconds = failed.seconds
        progress.rate_factor = failed.rate_factor * RATE_FACTOR
        progress.steps_back = failed.steps_back + 1
        self.tracker.record(
            step=failed.step,
            back_to=progress.step,
            cause=str(fault),
            rate_factor=progress.rate_factor,
        )
        self.tracker.display.note(
            f"{fault} at step {failed.step}: back to step {progress.step}, learning rates times "
            f"{progress.rate_factor:g} from there on ({progress.steps_back} of {MAX_STEPS_BACK})"
        )
        self.keep()

    def add_to(self, snapshot: Snapshot) -> None:
        """Put the good state into a checkpoint."""
        assert self.good is not None
        snapshot.tensors |= ckpt.named(ckpt.GOOD, self.good.tensors)
        snapshot.state["good"] = self.good.state

    def restore_from(self, snapshot: Snapshot) -> None:
        """Inverse of `add_to`."""
        self.good = Snapshot(snapshot.part(ckpt.GOOD), snapshot.state["good"])

    def _final(self, fault: NotFinite, why: str) -> TrainingError:
        rate = max(group["lr"] for group in self.state.optimizer.param_groups)
        return TrainingError(
            f"{fault} at step {self.state.progress.step} (learning rate {rate:.2g}; {why})",
            expected="a finite number",
            hint="Lower the learning rate, or clip gradients (optimizer.clip).",
        )
