"""The matrix products that a model cannot do without, as `[m, k, n, times]`.

Only these: no element-wise gate, no dropout, no optimiser, no padding. Their time is the bound.
"""

from __future__ import annotations

from ulmfit.config import LMConfig

Shape = list[int]


def encoder(config: LMConfig, rows: int, steps: int, *, training: bool) -> list[Shape]:
    """LSTM layers over `steps` steps of `rows` rows: x W for all steps at once, h U step by step.

    Training adds the gradients of the inputs, of the states, and of both weights.
    """
    shapes = []
    for n_in, n_out in config.layer_sizes():
        gates, every = 4 * n_out, rows * steps
        shapes += [[every, n_in, gates, 1], [rows, n_out, gates, steps]]
        if training:
            shapes += [[every, gates, n_in, 1], [rows, gates, n_out, steps]]
            shapes += [[gates, every, n_in, 1], [gates, every, n_out, 1]]
    return shapes


def softmax(config: LMConfig, tokens: int, words: int | None = None) -> list[Shape]:
    """Scores of `words` words (None: of all) and their two gradients."""
    width, size = words or config.vocab_size, config.emb_size
    return [[tokens, size, width, 1], [tokens, width, size, 1], [width, tokens, size, 1]]


def flops(shapes: list[Shape]) -> float:
    """Floating-point operations in all of them."""
    return 2.0 * sum(m * k * n * times for m, k, n, times in shapes)


def weight_bytes(config: LMConfig) -> int:
    """fp32 bytes of the matrices that a step of one row reads."""
    return 4 * sum(4 * n_out * (n_in + n_out) for n_in, n_out in config.layer_sizes())
