from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from ulmfit.artifacts import FolderContents
from ulmfit.errors import ModelFolderError
from ulmfit.model.quantized_rows import SCALE, quantize_rows
from ulmfit.stages.folder_weights import read_weights

Tensors = dict[str, Tensor]


@pytest.fixture
def weights() -> Tensors:
    torch.manual_seed(0)
    return {
        "encoder.weight": torch.randn(6, 4),
        "bias": torch.randn(4),
        "seen": torch.tensor(3),
    }


def read(stored: Tensors | bytes, expected: Tensors) -> Tensors:
    content = stored if isinstance(stored, bytes) else save(stored)
    return read_weights(FolderContents(Path("m"), {}, {"model.safetensors": content}), expected)


def fault(stored: Tensors | bytes, expected: Tensors) -> str:
    with pytest.raises(ModelFolderError) as caught:
        read(stored, expected)
    start = "model folder 'm' is broken: model.safetensors: "
    end = ". Copy the whole folder again from where it came from, or train again."
    message = str(caught.value)
    assert message.startswith(start)
    assert message.endswith(end)
    return message.removeprefix(start).removesuffix(end)


def test_float32_comes_back_as_it_was(weights: Tensors) -> None:
    found = read(weights, weights)
    assert found.keys() == weights.keys()
    for name, value in weights.items():
        assert torch.equal(found[name], value)
        assert found[name].dtype == value.dtype


@pytest.mark.parametrize(
    ("dtype", "precision"),
    [(torch.float16, 1e-3), (torch.bfloat16, 1e-2), (torch.float64, 1e-7)],
)
def test_other_floats_become_float32(
    weights: Tensors, dtype: torch.dtype, precision: float
) -> None:
    stored = {k: v.to(dtype) if v.is_floating_point() else v for k, v in weights.items()}
    found = read(stored, weights)
    for name, value in weights.items():
        assert found[name].dtype == value.dtype
        torch.testing.assert_close(found[name], value, rtol=precision, atol=precision)


def test_eight_bit_rows_become_float32(weights: Tensors) -> None:
    stored = quantize_rows(weights)
    assert stored["encoder.weight"].dtype == torch.int8
    found = read(stored, weights)
    assert found.keys() == weights.keys()
    half_step = weights["encoder.weight"].abs().amax(dim=1, keepdim=True) / 127 / 2
    difference = (found["encoder.weight"] - weights["encoder.weight"]).abs()
    assert (difference <= half_step * 1.001).all()


def test_missing_and_unknown_tensors(weights: Tensors) -> None:
    stored = {k: v for k, v in weights.items() if k != "bias"} | {"extra": torch.ones(1)}
    assert fault(stored, weights) == "tensor 'bias' is missing; tensor 'extra' is unknown"


def test_many_faults_are_counted(weights: Tensors) -> None:
    stored = {f"t{i}": torch.ones(1) for i in range(9)}
    assert fault(stored, weights).endswith(
        "tensor 't0' is unknown; tensor 't1' is unknown; and 7 more"
    )


def test_other_shape(weights: Tensors) -> None:
    stored = {**weights, "encoder.weight": torch.randn(5, 4)}
    assert fault(stored, weights) == (
        "tensor 'encoder.weight' has shape (5, 4) where config.json needs (6, 4)"
    )


def test_other_type(weights: Tensors) -> None:
    stored = {**weights, "bias": torch.ones(4, dtype=torch.int32)}
    assert fault(stored, weights) == "tensor 'bias' is of type int32"
    stored = {**weights, "seen": torch.tensor(3.0)}
    assert fault(stored, weights) == "tensor 'seen' is of type float32"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(weights: Tensors, value: float) -> None:
    weights["bias"][2] = value
    assert fault(weights, weights) == "tensor 'bias' holds values that are not finite"


def test_eight_bits_without_their_scale(weights: Tensors) -> None:
    stored = quantize_rows(weights)
    del stored["encoder.weight" + SCALE]
    assert fault(stored, weights) == "the 8-bit 'encoder.weight' has no 'encoder.weight.row_scale'"


@pytest.mark.parametrize("scale", [torch.ones(5), torch.ones(6, 1), torch.ones(())])
def test_scale_of_another_matrix(weights: Tensors, scale: Tensor) -> None:
    stored = {**quantize_rows(weights), "encoder.weight" + SCALE: scale}
    assert fault(stored, weights) == (
        "'encoder.weight.row_scale' does not belong to an 8-bit matrix of as many rows"
    )


def test_scale_without_an_eight_bit_matrix(weights: Tensors) -> None:
    stored = {**weights, "bias" + SCALE: torch.ones(4)}
    assert "'bias.row_scale' does not belong to an 8-bit matrix" in fault(stored, weights)
    stored = {**quantize_rows(weights)}
    stored["encoder.weight" + SCALE] = torch.ones(6, dtype=torch.int32)
    assert fault(stored, weights) == "'encoder.weight.row_scale' is of type int32"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 this is a pickle in a zip",
        b"\x10\x00\x00\x00\x00\x00\x00\x00{}",
        b"\xff" * 64,
        b'\x28\x00\x00\x00\x00\x00\x00\x00{"a":{"dtype":"X9","shape":[1],"data_offsets":[0,4]}}....',
    ],
)
def test_no_safetensors(weights: Tensors, content: bytes) -> None:
    assert fault(content, weights).startswith("cannot be read (")


def test_cut_file(weights: Tensors) -> None:
    content = save(weights)
    for length in (4, 20, len(content) // 2, len(content) - 1):
        assert fault(content[:length], weights).startswith("cannot be read (")
