"""Activation regularisation, AR and TAR (Merity et al. 2017, section 4.6)."""

from __future__ import annotations

from torch import Tensor


def activation_reg(dropped: Tensor, alpha: float) -> Tensor:
    """AR: alpha * mean(h^2) over the dropped output, (B, T, E) -> scalar.

    Computed in float32, so that half precision cannot overflow.
    """
    return alpha * dropped.float().pow(2).mean()


def temporal_activation_reg(raw: Tensor, beta: float) -> Tensor:
    """TAR: beta * mean((h_t - h_(t-1))^2) over the raw output, (B, T, E) -> scalar.

    Zero for a window of one step, which has no difference.
    """
    if raw.size(1) < 2:
        return raw.new_zeros(()).float()
    return beta * (raw[:, 1:] - raw[:, :-1]).float().pow(2).mean()
