"""Weights in eight bits for ONNX Runtime's `DynamicQuantizeLSTM`, and for embeddings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LARGEST = 127  # of int8, the same on both sides of zero


class Quantized(NamedTuple):
    """w ~ scale * values.

    Attributes:
        values: int8, of the shape of the weights.
        scale: float32, one for each row or column.
    """

    values: NDArray[np.int8]
    scale: NDArray[np.float32]


def quantize_rows(matrix: NDArray[np.float32]) -> Quantized:
    """One scale for each row of a matrix, (V, E) -> int8 (V, E), scale (V, 1)."""
    return _quantize(matrix, np.abs(matrix).max(axis=1, keepdims=True))


def quantize_gates(matrix: NDArray[np.float32]) -> Quantized:
    """One scale for each column of the right-hand factor of a product, (K, N) -> scale (N,).

    On x86 processors without VNNI (Intel before 2019, AMD before 2022) the kernels add the products
    of two neighbouring rows with activations of up to 255 in 16 bits, and clip the sum. So the
    scale is that of the largest sum of such a pair instead of the largest single weight: nothing is
    clipped anywhere, and weights lose 0.4 bits on average (docs/log.md, "which eight bits for an
    exported LSTM?"), where leaving one bit out for all (`reduce_range`) would lose a whole one.
    """
    rows = np.pad(matrix, ((0, len(matrix) % 2), (0, 0))).reshape(-1, 2, matrix.shape[1])
    up, down = np.maximum(rows, 0).sum(axis=1), np.maximum(-rows, 0).sum(axis=1)
    return _quantize(matrix, np.maximum(up, down).max(axis=0))


def _quantize(matrix: NDArray[np.float32], largest: NDArray[np.float32]) -> Quantized:
    # a row of zeros has any scale, but not zero
    scale = (np.maximum(largest, 1e-12) / _LARGEST).astype(np.float32)
    return Quantized(np.round(matrix / scale).astype(np.int8), scale)
