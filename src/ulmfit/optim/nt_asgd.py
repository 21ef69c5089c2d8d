"""Non-monotonically triggered averaged SGD, NT-ASGD (Merity et al. 2017, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class NTASGD(Optimizer):
    """SGD that begins to average its iterates once validation stops improving.

    Args:
        params: parameters or parameter groups.
        lr: learning rate (awd-lstm-lm: 30).
        weight_decay: L2 penalty added to the gradient (awd-lstm-lm: 1.2e-6).
        n: non-monotone interval: averaging begins when the validation loss is worse than the best
            of those seen more than `n` checks ago (algorithm 1; awd-lstm-lm: 5).
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 30.0,
        weight_decay: float = 1.2e-6,
        n: int = 5,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "averaging": False}
        super().__init__(params, defaults)
        self.n = n
        self.losses: list[float] = []

    def observe(self, validation_loss: float) -> None:
        """Take a validation loss in; may trigger averaging from the next step on."""
        older = self.losses[: -self.n] if len(self.losses) > self.n else []
        if older and validation_loss > min(older):
            for group in self.param_groups:
                group["averaging"] = True
        self.losses.append(validation_loss)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """w <- w - lr * (grad + weight_decay * w); once triggered, ax <- running mean of w."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                w.sub_(w.grad + group["weight_decay"] * w, alpha=group["lr"])
                if group["averaging"]:
                    self._average(w)
        return loss

    def _average(self, w: Tensor) -> None:
        state = self.state[w]
        if "ax" not in state:
            state["ax"], state["n_averaged"] = w.clone(), torch.tensor(1.0)
            return
        state["n_averaged"] += 1
        state["ax"].add_((w - state["ax"]) / state["n_averaged"].item())

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the parameters hold their averages (where there are any)."""
        swapped: list[tuple[Tensor, Tensor]] = []
        with torch.no_grad():
            for w, state in self.state.items():
                if "ax" in state:
                    swapped.append((w, w.clone()))
                    w.copy_(state["ax"])
        try:
            yield
        finally:
            with torch.no_grad():
                for w, current in swapped:
                    w.copy_(current)
