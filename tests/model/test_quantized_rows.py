"""Eight-bit rows: a quarter of the size, half a step of error."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save

from ulmfit.errors import SettingsError
from ulmfit.model.quantized_rows import dequantize_rows, quantize_rows, stored


def test_the_error_is_at_most_half_a_step_of_the_row() -> None:
    torch.manual_seed(0)
    weight = torch.randn(50, 30) * torch.logspace(-4, 4, 50).unsqueeze(1)
    restored = dequantize_rows(quantize_rows({"w": weight}))["w"]
    step = weight.abs().amax(dim=1, keepdim=True) / 127
    assert restored.dtype == torch.float32
    assert ((restored - weight).abs() <= 0.5 * step * 1.0001).all()


def test_matrices_become_bytes_and_a_scale_and_all_else_stays() -> None:
    tensors = {
        "matrix": torch.randn(4, 3),
        "vector": torch.randn(5),
        "number": torch.tensor(3),
        "cube": torch.randn(2, 2, 2),
        "ids": torch.arange(6).reshape(2, 3),
    }
    small = quantize_rows(tensors)
    assert small["matrix"].dtype == torch.int8
    assert small["matrix.row_scale"].shape == (4,)
    assert small.keys() == tensors.keys() | {"matrix.row_scale"}
    restored = dequantize_rows(load(save(small)))
    assert restored.keys() == tensors.keys()
    for name in ("vector", "number", "cube", "ids"):
        assert torch.equal(restored[name], tensors[name])


def test_the_largest_weight_of_a_row_is_exact_and_zeros_stay_zero() -> None:
    weight = torch.tensor([[0.0, 0.0, 0.0], [0.3, -1.7, 0.0], [1e-20, 0.0, 0.0]])
    restored = dequantize_rows(quantize_rows({"w": weight}))["w"]
    assert torch.equal(restored[0], weight[0])
    assert float(restored[1, 1]) == float(weight[1, 1])
    assert float(restored[1, 2]) == 0.0
    assert torch.isfinite(restored).all()


def test_storing_twice_changes_nothing_more() -> None:
    torch.manual_seed(1)
    once = dequantize_rows(quantize_rows({"w": torch.randn(20, 9)}))
    twice = dequantize_rows(quantize_rows(once))
    torch.testing.assert_close(twice["w"], once["w"], rtol=1e-6, atol=0)


def test_half_precision_takes_half_the_bytes_and_three_digits_stay() -> None:
    torch.manual_seed(0)
    tensors = {"w": torch.randn(20, 30), "b": torch.randn(30), "ids": torch.arange(3)}
    half = stored(tensors, "half")
    assert half["w"].dtype == half["b"].dtype == torch.float16
    assert half["ids"].dtype == torch.int64
    torch.testing.assert_close(half["w"].float(), tensors["w"], rtol=5e-4, atol=1e-6)
    assert stored(tensors, "float32")["w"] is tensors["w"]
    assert stored(tensors, "8bit").keys() == quantize_rows(tensors).keys()


def test_weights_that_half_precision_does_not_have_are_refused() -> None:
    with pytest.raises(SettingsError, match="weights 'w' reach 70,000: expected at most 65,504"):
        stored({"w": torch.tensor([1.0, -70_000.0])}, "half")
