from __future__ import annotations

import numpy as np
import pytest

from ulmfit.apps.onnx_int8 import quantize_gates, quantize_rows

DRAW = np.random.default_rng(0)
INT16 = 2**15


def test_rows_have_a_scale_each() -> None:
    matrix = DRAW.standard_normal((5, 8)).astype(np.float32) * [[1], [100], [0.001], [0], [3]]
    values, scale = quantize_rows(matrix.astype(np.float32))
    assert (values.dtype.name, scale.dtype.name, scale.shape) == ("int8", "float32", (5, 1))
    assert np.abs(values).max(axis=1).tolist() == [127, 127, 127, 0, 127]
    assert (np.abs(values * scale - matrix) <= scale / 2 + 1e-9).all()


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_gates_have_a_scale_per_column(rows: int) -> None:
    matrix = DRAW.standard_normal((rows, 12)).astype(np.float32)
    values, scale = quantize_gates(matrix)
    assert (values.shape, scale.shape) == ((rows, 12), (12,))
    assert (np.abs(values * scale - matrix) <= scale / 2 + 1e-7).all()


def test_no_pair_of_products_leaves_sixteen_bits() -> None:
    """Kernels without VNNI add the products of rows 2k and 2k+1 with 0..255 in 16 bits."""
    matrix = DRAW.standard_normal((64, 500)).astype(np.float32)
    matrix[:2] = 10  # a pair of greatest weights of one sign
    matrix[2:4] = -10
    values = quantize_gates(matrix).values.astype(np.int64).reshape(-1, 2, 500)
    largest = 255 * np.maximum(values, 0).sum(axis=1).max()
    least = 255 * np.minimum(values, 0).sum(axis=1).min()
    assert largest < INT16
    assert least >= -INT16
    assert largest > 0.95 * INT16, "the range is used"


def test_a_single_great_weight_uses_the_whole_range() -> None:
    matrix = np.zeros((4, 1), np.float32)
    matrix[1] = 5.0
    assert quantize_gates(matrix).values.max() == 127
