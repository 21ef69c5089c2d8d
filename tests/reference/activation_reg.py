"""AR and TAR (Merity et al. 2017, section 4.6), with the means that awd-lstm-lm and fastai take.

    AR = alpha * L2(m * h_t)^2        TAR = beta * L2(h_t - h_(t+1))^2

printed with sums; in all code each square is averaged over batch, steps and features.
"""

from __future__ import annotations

import torch
from torch import Tensor


def activation_reg(dropped: list[Tensor], alpha: float) -> Tensor:
    """dropped: m * h_t, one (T, E) per sequence."""
    squares = [h_k**2 for sequence in dropped for h in sequence for h_k in h]
    return alpha * torch.stack(squares).mean()


def temporal_activation_reg(raw: list[Tensor], beta: float) -> Tensor:
    """raw: h_t, one (T, E) per sequence."""
    squares: list[Tensor] = []
    for sequence in raw:
        for t in range(len(sequence) - 1):
            squares.extend((sequence[t] - sequence[t + 1]) ** 2)
    return beta * torch.stack(squares).mean()
