"""AWD-LSTM for inference in 8-bit integers: two to three times as fast, a quarter of the memory.

Weights are rounded per output row, embeddings and hidden states with one scale each: an LSTM's
hidden state lies in (-1, 1), so that its scale needs no calibration data. Integer sums are exact in
any order, and all that follows them is done value by value: an answer depends neither on the batch
nor on how the steps are cut in chunks. Gates, cell states and the outputs themselves stay float32.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ulmfit.config import LMConfig
from ulmfit.errors import SettingsError
from ulmfit.model.awd_lstm import AWDLSTM, EncoderOutput, State
from ulmfit.model.weight_drop import LSTM_PARAMETERS, LayerState

# Unsigned input bytes stand for -127 to 127; oneDNN multiplies unsigned by signed bytes.
ZERO = 128
LEVELS = 127
ROUNDED_ZERO = ZERO + 0.5  # a float turned into a byte is cut, not rounded

# |h| = |sigmoid * tanh| < 1.
HIDDEN_SCALE = 1 / LEVELS

# The input products of so many rows are made at once: a single text reads the weights once for all
# steps of its chunk, and a large batch keeps the products of one step in the cache.
ROWS_AT_ONCE = 256

# Embeddings beyond so many standard deviations are clipped: one outlier would coarsen all.
EMBEDDING_RANGE = 6.0


class Int8Matrix(NamedTuple):
    """A weight matrix ready for oneDNN.

    Attributes:
        packed: 8-bit weights in oneDNN's own layout.
        scales: of each output row, (N,) float32.
        zeros: of each output row, (N,) int32: all 0.
        x_scale: what one step of the input byte stands for.
    """

    packed: Tensor
    scales: Tensor
    zeros: Tensor
    x_scale: float


class Int8Layer(NamedTuple):
    """An LSTM layer whose gates are in the order input, forget, output, cell.

    Attributes:
        ih: input to gates, (4H, I).
        hh: hidden state to gates, (4H, H).
        bias: sum of both biases, (4H,).
    """

    ih: Int8Matrix
    hh: Int8Matrix
    bias: Tensor


def pack_matrix(weight: Tensor, x_scale: float) -> Int8Matrix:
    """Round a matrix (N, K) to 8 bits, one scale a row."""
    most = weight.abs().amax(dim=1)
    scales = torch.where(most > 0, most, 1.0) / LEVELS
    rounded = (weight / scales.unsqueeze(1)).round().to(torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(rounded, None)
    return Int8Matrix(packed, scales, torch.zeros_like(scales, dtype=torch.int32), x_scale)


def multiply(x: Tensor, matrix: Int8Matrix, bias: Tensor | None = None) -> Tensor:
    """(rows, K) bytes by the matrix -> (rows, N) float32."""
    product: Tensor = torch.ops.onednn.qlinear_pointwise(
        x,
        matrix.x_scale,
        ZERO,
        matrix.packed,
        matrix.scales,
        matrix.zeros,
        bias,
        1.0,
        0,
        torch.float32,
        "none",
        [],
        "",
    )
    return product


def to_bytes(x: Tensor, scale: float) -> Tensor:
    """Float values as unsigned bytes: x / scale + 128, rounded, within 1 to 255."""
    shifted = torch.add(torch.tensor(ROUNDED_ZERO), x, alpha=1 / scale)
    return shifted.clamp_(ZERO - LEVELS, ZERO + LEVELS).to(torch.uint8)


def pack_layer(layer: nn.LSTM, x_scale: float) -> Int8Layer:
    """An LSTM layer of torch, whose gates are in the order input, forget, cell, output.

    The cell's gate is doubled: tanh(x) = 2 sigmoid(2 x) - 1, and torch's sigmoid is five times as
    fast as its tanh.
    """
    with torch.no_grad():
        w_ih, w_hh, b_ih, b_hh = (
            _reorder(layer.get_parameter(f"{name}_l0")) for name in LSTM_PARAMETERS
        )
        return Int8Layer(pack_matrix(w_ih, x_scale), pack_matrix(w_hh, HIDDEN_SCALE), b_ih + b_hh)


def _reorder(gates: Tensor) -> Tensor:
    i, f, g, o = gates.detach().float().chunk(4)
    return torch.cat([i, f, o, 2 * g])


def run_layer(x: Tensor, state: LayerState, layer: Int8Layer) -> tuple[Tensor, Tensor, LayerState]:
    """One LSTM layer over a window.

    Args:
        x: input bytes, (T, B, I).
        state: (h, c), each (B, H).
        layer: weights.

    Returns:
        Outputs of all steps as floats and as bytes, each (T, B, H), and the state after them.
    """
    steps, batch, _ = x.shape
    size = state[0].size(1)
    # Twice the cell state, and the hidden state's negative: each saves two passes over a step.
    cc = 2 * state[1]
    minus_h = torch.empty(steps, batch, size)
    h_bytes = torch.empty(steps, batch, size, dtype=torch.uint8)
    previous = to_bytes(state[0], HIDDEN_SCALE)
    rounded_zero = torch.tensor(ROUNDED_ZERO)
    at_once = max(1, ROWS_AT_ONCE // max(1, batch))
    for start in range(0, steps, at_once):
        rows = x[start : start + at_once].flatten(0, 1)
        inputs = multiply(rows, layer.ih, layer.bias).view(-1, batch, 4 * size)
        for step, gates in enumerate(inputs, start):
            i, f, o, g = gates.add_(multiply(previous, layer.hh)).sigmoid_().split(size, dim=1)
            # c = f c + i (2 g - 1)
            cc.mul_(f).addcmul_(i, g, value=4).sub_(i, alpha=2)
            # h = o (2 sigmoid(2 c) - 1)
            torch.addcmul(o, o, cc.sigmoid(), value=-2, out=minus_h[step])
            previous = h_bytes[step].copy_(torch.add(rounded_zero, minus_h[step], alpha=-LEVELS))
    hidden = minus_h.neg_()
    return hidden, h_bytes, (hidden[-1].clone(), cc / 2)


class Int8Encoder:
    """Takes the place of an `AWDLSTM` in evaluation, on a CPU.

    Args:
        encoder: the weights to round; they are not kept.

    Raises:
        SettingsError: this processor, or this torch, cannot do it exactly.
    """

    training = False
    # A step is a dozen small operations, each of which would wait for all threads: docs/log.md,
    # "one batch for all cores, or one for each?".
    shares_cores = False

    def __init__(self, encoder: AWDLSTM) -> None:
        require_int8()
        self.config: LMConfig = encoder.config
        weight = encoder.embedding.weight.detach().float()
        most = min(float(weight.abs().max()), EMBEDDING_RANGE * float(weight.std()))
        scale = (most or 1.0) / LEVELS
        self.embedding_bytes = to_bytes(weight, scale)
        scales = [scale] + [HIDDEN_SCALE] * (len(encoder.rnns) - 1)
        self.layers = [
            pack_layer(rnn, x_scale)
            for rnn, x_scale in zip(encoder.rnns, scales, strict=True)
            if isinstance(rnn, nn.LSTM)
        ]

    def initial_state(self, batch_size: int) -> State:
        """Zeros, as `AWDLSTM.initial_state`."""
        return tuple(
            (torch.zeros(batch_size, n_out), torch.zeros(batch_size, n_out))
            for _, n_out in self.config.layer_sizes()
        )

    def __call__(self, tokens: Tensor, state: State) -> EncoderOutput:
        """Encode (B, T) word ids, as `AWDLSTM.forward` does in evaluation."""
        x = self.embedding_bytes[tokens.t()]
        out = x.new_zeros(())
        new_state = []
        for layer, layer_state in zip(self.layers, state, strict=True):
            out, x, layer_state = run_layer(x, layer_state, layer)
            new_state.append(layer_state)
        hidden = out.transpose(0, 1)
        return EncoderOutput(raw=hidden, dropped=hidden, state=tuple(new_state))


def require_int8() -> None:
    """Try a small product whose sums are known.

    Without VNNI instructions a processor adds pairs of products in 16 bits, where they overflow;
    and the operator belongs to torch's compiler, which may change it.

    Raises:
        SettingsError: it is missing, or gives other sums.
    """
    expected = f"a processor with VNNI instructions, and torch {torch.__version__} on Linux"
    hint = "Use float32, or export to ONNX with --int8."
    try:
        x = torch.full((2, 64), 255, dtype=torch.uint8)
        matrix = pack_matrix(torch.full((16, 64), float(LEVELS)), 1.0)
        product = multiply(x, matrix)
    except (AttributeError, RuntimeError) as error:
        fault = "int8 is not available here"
        raise SettingsError(fault, expected=expected, hint=hint) from error
    if not torch.equal(product, torch.full_like(product, 64.0 * LEVELS * LEVELS)):
        raise SettingsError("int8 products overflow here", expected=expected, hint=hint)
