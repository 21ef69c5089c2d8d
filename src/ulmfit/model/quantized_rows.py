"""Weights on disk in fewer bits: half precision, or eight bits with one scale per row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from ulmfit.errors import SettingsError

SCALE = ".row_scale"

# Bytes per weight: 4, 2, 1. Reading gives float32 again, whichever it was.
Store = Literal["float32", "half", "8bit"]


def stored(tensors: Mapping[str, Tensor], store: Store) -> dict[str, Tensor]:
    """Weights as they are written to disk.

    Raises:
        SettingsError: half precision has no numbers as large as these.
    """
    if store == "8bit":
        return quantize_rows(tensors)
    if store == "half":
        return {name: _half(name, value) for name, value in tensors.items()}
    return dict(tensors)


def _half(name: str, value: Tensor) -> Tensor:
    if not value.is_floating_point():
        return value
    halved = value.half()
    if halved.isinf().any() and not value.isinf().any():
        raise SettingsError(
            f"weights '{name}' reach {value.abs().max().item():,.0f}",
            expected=f"at most {torch.finfo(torch.half).max:,.0f}, the largest number that half "
            "precision has",
            hint="Store them as float32: --store float32.",
        )
    return halved


def quantize_rows(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Store every matrix as int8 rows with a float32 scale each; vectors stay as they are.

    w ~ scale * q with scale = max|w| / 127 over the row, so the error of a weight is at most half
    a scale.
    """
    stored: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if value.dim() != 2 or not value.is_floating_point():
            stored[name] = value
            continue
        scale = value.abs().amax(dim=1).clamp(min=1e-12) / 127
        stored[name] = (value / scale.unsqueeze(1)).round().to(torch.int8)
        stored[name + SCALE] = scale
    return stored


def dequantize_rows(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inverse of `quantize_rows`, up to the rounding."""
    return {
        name: value * stored[name + SCALE].unsqueeze(1) if name + SCALE in stored else value
        for name, value in stored.items()
        if not name.endswith(SCALE)
    }
