"""The LSTM of Merity et al. 2017, equation 1, step by step, with DropConnect on U (W_hh).

    i_t = sigmoid(W^i x_t + U^i h_(t-1))      f_t = sigmoid(W^f x_t + U^f h_(t-1))
    o_t = sigmoid(W^o x_t + U^o h_(t-1))      g_t = tanh(W^c x_t + U^c h_(t-1))
    c_t = i_t * g_t + f_t * c_(t-1)           h_t = o_t * tanh(c_t)

Each gate also has the two biases of the usual LSTM kernels. They stack the gates i, f, g, o.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class LSTMWeights(NamedTuple):
    """W (4H, I), U (4H, H), b_w and b_u (4H,): gates i, f, g, o stacked."""

    W: Tensor
    U: Tensor
    b_w: Tensor
    b_u: Tensor


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def lstm_step(x: Tensor, h: Tensor, c: Tensor, weights: LSTMWeights) -> tuple[Tensor, Tensor]:
    """x (I,), h and c (H,) -> h_t, c_t (H,): one sequence, one step."""
    a = weights.W @ x + weights.b_w + weights.U @ h + weights.b_u
    a_i, a_f, a_g, a_o = a.chunk(4)
    i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o)
    g = torch.tanh(a_g)
    c = i * g + f * c
    h = o * torch.tanh(c)
    return h, c


def lstm(
    xs: Tensor, h: Tensor, c: Tensor, weights: LSTMWeights, U_mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """xs (T, I) -> all h_t (T, H), the last h and c.

    U_mask (4H, H), zeros and 1 / (1 - p), is the same for all steps.
    """
    dropped = weights if U_mask is None else weights._replace(U=weights.U * U_mask)
    hs = []
    for x in xs:
        h, c = lstm_step(x, h, c, dropped)
        hs.append(h)
    return torch.stack(hs), h, c
