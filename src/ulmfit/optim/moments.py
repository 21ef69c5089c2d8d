"""Adam's moments of weights that have no gradient any more."""

from __future__ import annotations

import torch
from torch.optim import Optimizer

# Processors take 26 times as long for numbers under 1e-38 (docs/log.md, "are denormal numbers
# slow?"), and rounding keeps the smallest ones for ever. In 50 steps beta1 of 0.7 brings 1e-30
# there, beta2 of 0.99 brings 2e-38.
EVERY = 50
LEAST = {"exp_avg": 1e-30, "exp_avg_sq": 1e-37}


@torch.no_grad()
def forget_tiny_moments(optimizer: Optimizer) -> None:
    """Set moments to zero that are on their way there: too small to move a weight.

    A word that does not come again has such ones after some 200 steps.

    Args:
        optimizer: changed in place; one without Adam's moments stays as it is.
    """
    for state in optimizer.state.values():
        for name, least in LEAST.items():
            if name in state:
                state[name].masked_fill_(state[name].abs() < least, 0.0)
