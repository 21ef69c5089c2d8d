"""Concat pooling (Howard & Ruder 2018, section 3.3): h_c = [h_T, maxpool(H), meanpool(H)]."""

from __future__ import annotations

import torch
from torch import Tensor


def concat_pooling(H: list[Tensor]) -> Tensor:
    """H = {h_1, ..., h_T}, each (E,) -> (3E,)."""
    size = len(H[0])
    maxpool = [torch.stack([h[k] for h in H]).max() for k in range(size)]
    meanpool = [torch.stack([h[k] for h in H]).sum() / len(H) for k in range(size)]
    return torch.cat([H[-1], torch.stack(maxpool), torch.stack(meanpool)])
