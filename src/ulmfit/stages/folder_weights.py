"""`model.safetensors` of a model folder, checked against the model that it is for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors.torch import load
from torch import Tensor

from ulmfit.artifacts import CONFIG, WEIGHTS, FolderContents
from ulmfit.model.quantized_rows import SCALE, dequantize_rows
from ulmfit.stages.folder_config import broken


def read_weights(contents: FolderContents, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of `model.safetensors`, as float32 where they are stored smaller.

    Args:
        contents: a folder that has been read.
        expected: names, shapes and types of the model's tensors; their values do not count.

    Raises:
        ModelFolderError: they are not those of the model that `config.json` describes; or not all
            of them are finite.
    """
    content = contents.require(WEIGHTS)
    try:
        stored = load(content)
    except Exception as error:  # what the library raises depends on where the file is wrong
        raise broken(contents, WEIGHTS, [f"cannot be read ({error})"]) from error
    _require(contents, _faulty_scales(stored))
    # Copies: a loaded tensor lies wherever it lay in the file, and the last bit of a matrix product
    # depends on where its factors are aligned.
    tensors = {
        name: value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)
        for name, value in dequantize_rows(stored).items()
    }
    _require(contents, _misfits(tensors, expected))
    return {name: tensors[name] for name in expected}


def require_weights(contents: FolderContents, count: int) -> None:
    """Refuse a `config.json` of a model that the weights' file cannot hold, before it is made.

    Raises:
        ModelFolderError: the file has fewer bytes than `count`, the weights of the model.
    """
    size = len(contents.require(WEIGHTS))
    if size < count:
        fault = f"has {size:,} bytes where config.json needs {count:,} weights"
        raise broken(contents, WEIGHTS, [fault])


def _faulty_scales(stored: Mapping[str, Tensor]) -> list[str]:
    """8-bit matrices need a scale per row, and scales a matrix."""
    faults = []
    for name, value in sorted(stored.items()):
        if value.dtype == torch.int8 and name + SCALE not in stored:
            faults.append(f"the 8-bit '{name}' has no '{name + SCALE}'")
        elif name.endswith(SCALE):
            rows = stored.get(name.removesuffix(SCALE))
            if rows is None or rows.dtype != torch.int8 or value.shape != rows.shape[:1]:
                faults.append(f"'{name}' does not belong to an 8-bit matrix of as many rows")
            elif not value.is_floating_point():
                faults.append(f"'{name}' is of type {_name(value.dtype)}")
    return faults


def _misfits(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    faults = [f"tensor '{name}' is missing" for name in expected if name not in tensors]
    for name, value in sorted(tensors.items()):
        wanted = expected.get(name)
        if wanted is None:
            faults.append(f"tensor '{name}' is unknown")
        elif value.shape != wanted.shape:
            has, needs = tuple(value.shape), tuple(wanted.shape)
            faults.append(f"tensor '{name}' has shape {has} where {CONFIG} needs {needs}")
        elif value.dtype != wanted.dtype:
            faults.append(f"tensor '{name}' is of type {_name(value.dtype)}")
        elif not value.isfinite().all():
            faults.append(f"tensor '{name}' holds values that are not finite")
    return faults


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _require(contents: FolderContents, faults: list[str]) -> None:
    if faults:
        raise broken(contents, WEIGHTS, faults)
