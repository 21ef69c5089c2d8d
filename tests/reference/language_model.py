"""The tied softmax and its loss, one position at a time."""

from __future__ import annotations

import torch
from torch import Tensor


def scores(h: Tensor, embedding: Tensor, bias: Tensor) -> Tensor:
    """z_w = e_w . h + b_w for each word w, (V,): the softmax weights are the embedding."""
    return torch.stack([e_w @ h + b_w for e_w, b_w in zip(embedding, bias, strict=True)])


def negative_log_likelihood(z: Tensor, target: int) -> Tensor:
    """-log p(target), p = exp(z_w) / sum exp(z_v); in nats."""
    return torch.log(torch.exp(z).sum()) - z[target]


def loss(hs: list[Tensor], targets: list[list[int]], embedding: Tensor, bias: Tensor) -> Tensor:
    """Mean over all positions of all sequences; hs holds one (T, E) per sequence."""
    terms = [
        negative_log_likelihood(scores(h, embedding, bias), target)
        for sequence, wanted in zip(hs, targets, strict=True)
        for h, target in zip(sequence, wanted, strict=True)
    ]
    return torch.stack(terms).mean()
