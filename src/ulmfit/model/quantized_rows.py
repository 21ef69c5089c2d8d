"""Weights on disk in fewer bits: half precision, or eight bits with one scale per row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

SCALE = ".row_scale"

# Bytes per weight: 4, 2, 1. Reading gives float32 again, whichever it was.
Store = Literal["float32", "half", "8bit"]


def stored(tensors: Mapping[str, Tensor], store: Store) -> dict[str, Tensor]:
    """Weights as they are written to disk."""
    if store == "8bit":
        return quantize_rows(tensors)
    if store == "half":
        return {n: v.half() if v.is_floating_point() else v for n, v in tensors.items()}
    return dict(tensors)


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
