"""DropConnect on the hidden-to-hidden weights (Merity et al. 2017, section 2), and one LSTM layer.

The mask is a value, not a patched attribute: each forward pass gets a masked copy of W_hh, so
nothing can stay dropped in evaluation and the parameters keep their plain LSTM names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ulmfit.model.bf16_lstm import bf16_lstm, is_small_bf16_window
from ulmfit.model.dropout import dropout_mask

LayerState = tuple[Tensor, Tensor]

LSTM_PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def weight_drop(w_hh: Tensor, p: float, *, training: bool) -> Tensor:
    """A copy of W_hh in which each weight is dropped with probability `p`, (4H, H) -> (4H, H).

    The same mask holds for every time step of the forward pass (and its backward pass).
    """
    return w_hh * dropout_mask(w_hh, w_hh.shape, p) if training and p > 0.0 else w_hh


def lstm_layer(
    x: Tensor, state: LayerState, layer: nn.LSTM, weight_p: float, *, training: bool
) -> tuple[Tensor, LayerState]:
    """Run one LSTM layer over a window, with weight drop, from and to an explicit state.

    Args:
        x: input, (B, T, I).
        state: (h, c), each (B, H).
        layer: holds weight_ih_l0 (4H, I), weight_hh_l0 (4H, H), bias_ih_l0 and bias_hh_l0 (4H,).
        weight_p: DropConnect probability on weight_hh_l0.
        training: no weight drop if false.

    Returns:
        Outputs of all steps, (B, T, H), and the state after the last one.
    """
    w_ih, w_hh, b_ih, b_hh = (layer.get_parameter(f"{name}_l0") for name in LSTM_PARAMETERS)
    dropped = weight_drop(w_hh, weight_p, training=training)
    if training and is_small_bf16_window(x):
        out, h, c = bf16_lstm(x, w_ih, dropped, b_ih + b_hh, *state)
        return out, (h, c)
    h0, c0 = (s.unsqueeze(0) for s in state)
    # torch.lstm is the kernel under nn.LSTM (oneDNN on a CPU, cuDNN on a GPU), weights as values.
    out, h, c = torch.lstm(
        x,
        (h0, c0),
        [w_ih, dropped, b_ih, b_hh],
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=training or x.requires_grad,  # or cuDNN keeps nothing for a gradient
        bidirectional=False,
        batch_first=True,
    )
    return out, (h.squeeze(0), c.squeeze(0))
