"""One LSTM layer in bfloat16 on a CPU, for small windows, whose weight gradients are one product.

oneDNN's LSTM adds to the weights' gradients step by step, by products as deep as the batch has
rows. With 16 rows, or on texts of a dozen words, that is most of a step; one product over all rows
and steps takes a half to three quarters of the time (docs/log.md, "where does a training step on
short texts spend its time?"). Sums, cell states and whatever is not a product are float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# From so many tokens in a window on, oneDNN's own LSTM wins. Ours, docs/log.md, "where does a
# training step on short texts spend its time?".
SMALL_WINDOW = 4096


def is_small_bf16_window(x: Tensor) -> bool:
    """Whether a window (B, T, I) in training is better run here."""
    return (
        x.device.type == "cpu"
        and torch.is_grad_enabled()
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and x.size(0) * x.size(1) < SMALL_WINDOW
    )


def bf16_lstm(
    x: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor, h0: Tensor, c0: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Run a window; gates in torch's order: input, forget, cell, output.

    Args:
        x: (B, T, I).
        w_ih: (4H, I).
        w_hh: (4H, H).
        bias: (4H,).
        h0: (B, H).
        c0: (B, H).

    Returns:
        Outputs of all steps (B, T, H), bfloat16; h and c after the last one, (B, H), float32.
    """
    half = torch.bfloat16
    steps = x.transpose(0, 1).to(half).contiguous()
    with torch.autocast("cpu", enabled=False):
        out, c = _BF16LSTM.apply(  # type: ignore[no-untyped-call]
            steps, w_ih.to(half), w_hh.to(half), bias.float(), h0.to(half), c0.float()
        )
    return out.transpose(0, 1), out[-1].float(), c


class _BF16LSTM(torch.autograd.Function):
    """Time first: x (T, B, I) -> hidden states (T, B, H) and the last cell state (B, H)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor, h0: Tensor, c0: Tensor
    ) -> tuple[Tensor, Tensor]:
        n_steps, batch, _ = x.shape
        size = w_hh.size(1)
        gates = x.new_empty(n_steps, batch, 4, size, dtype=torch.float32)
        cells = gates.new_empty(n_steps + 1, batch, size)
        tanh_cells = gates.new_empty(n_steps, batch, size)
        hidden = x.new_empty(n_steps + 1, batch, size)
        hidden[0], cells[0] = h0, c0
        inputs = torch.addmm(_twice_g(bias).to(x.dtype), x.flatten(0, 1), _twice_g(w_ih).t())
        inputs = inputs.view(n_steps, batch, 4 * size)
        w_t = _twice_g(w_hh).t()
        for t in range(n_steps):
            summed = torch.addmm(inputs[t], hidden[t], w_t)
            i, f, g, o = gates[t].copy_(summed.view(batch, 4, size)).sigmoid_().unbind(1)
            g.mul_(2).sub_(1)
            c = torch.mul(f, cells[t], out=cells[t + 1]).addcmul_(i, g)
            tanh_c = torch.mul(c, 2, out=tanh_cells[t]).sigmoid_().mul_(2).sub_(1)
            torch.mul(o, tanh_c, out=hidden[t + 1])
        ctx.save_for_backward(x, w_ih, w_hh, gates, cells, tanh_cells, hidden)
        return hidden[1:], cells[-1].clone()

    @staticmethod
    def backward(ctx: Any, d_out: Tensor, d_c: Tensor) -> tuple[Tensor | None, ...]:
        x, w_ih, w_hh, gates, cells, tanh_cells, hidden = ctx.saved_tensors
        n_steps, batch, _ = x.shape
        size = w_hh.size(1)
        f = gates[:, :, 1]
        slopes, c_slope = _slopes(gates, cells, tanh_cells)
        d_gates = x.new_empty(n_steps, batch, 4, size)
        d_c, d_h = d_c.clone(), torch.zeros_like(d_c)
        for t in reversed(range(n_steps)):
            d_h += d_out[t]
            d_c.addcmul_(d_h, c_slope[t])
            torch.mul(slopes[t, :, :3], d_c.unsqueeze(1), out=d_gates[t, :, :3])
            torch.mul(slopes[t, :, 3], d_h, out=d_gates[t, :, 3])
            d_c.mul_(f[t])
            d_h = torch.mm(d_gates[t].flatten(1), w_hh).float()
        rows = d_gates.view(n_steps * batch, 4 * size)
        need_x, need_ih, need_hh, need_bias, *_ = ctx.needs_input_grad
        return (
            torch.mm(rows, w_ih).view_as(x) if need_x else None,
            torch.mm(rows.t(), x.flatten(0, 1)) if need_ih else None,
            torch.mm(rows.t(), hidden[:-1].flatten(0, 1)) if need_hh else None,
            rows.sum(0, dtype=torch.float32) if need_bias else None,
            d_h.to(x.dtype),
            d_c,
        )


def _twice_g(gates: Tensor) -> Tensor:
    """tanh(z) = 2 sigmoid(2 z) - 1, and torch's sigmoid is five times as fast as its tanh."""
    i, f, g, o = gates.chunk(4)
    return torch.cat([i, f, 2 * g, o])


def _slopes(gates: Tensor, cells: Tensor, tanh_cells: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of c_t by the sums before its gates, and of h_t by the output gate's and by c_t.

    With c = f c' + i g and h = o tanh(c), for all steps at once: (T, B, 4, H) and (T, B, H).
    """
    i, f, g, o = gates.unbind(2)
    slopes = torch.empty_like(gates)
    torch.mul(g, torch.addcmul(i, i, i, value=-1), out=slopes[:, :, 0])
    torch.mul(cells[:-1], torch.addcmul(f, f, f, value=-1), out=slopes[:, :, 1])
    torch.addcmul(i, i, g * g, value=-1, out=slopes[:, :, 2])
    torch.mul(tanh_cells, torch.addcmul(o, o, o, value=-1), out=slopes[:, :, 3])
    return slopes, torch.addcmul(o, o, tanh_cells * tanh_cells, value=-1)
