"""The classifier head: two blocks of batch norm, (dropout, off here) and a linear layer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class BatchNorm(NamedTuple):
    """gamma, beta (D,), and the running mean and variance for evaluation."""

    gamma: Tensor
    beta: Tensor
    mean: Tensor
    variance: Tensor
    epsilon: float = 1e-5


class HeadWeights(NamedTuple):
    """Weights (out, in) and biases (out,); `norm1` before the first, `norm2` before the second."""

    norm1: BatchNorm
    W1: Tensor
    b1: Tensor
    norm2: BatchNorm
    W2: Tensor
    b2: Tensor


def batch_norm(xs: list[Tensor], norm: BatchNorm, *, training: bool) -> list[Tensor]:
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, per feature."""
    mean, variance = norm.mean, norm.variance
    if training:
        mean = sum(xs, torch.zeros_like(xs[0])) / len(xs)
        variance = sum(((x - mean) ** 2 for x in xs), torch.zeros_like(xs[0])) / len(xs)
    scale = torch.sqrt(variance + norm.epsilon)
    return [norm.gamma * (x - mean) / scale + norm.beta for x in xs]


def head(pooled: list[Tensor], weights: HeadWeights, *, training: bool) -> list[Tensor]:
    """One (3E,) per document -> one (C,) per document."""
    xs = batch_norm(pooled, weights.norm1, training=training)
    xs = [torch.clamp(weights.W1 @ x + weights.b1, min=0) for x in xs]
    xs = batch_norm(xs, weights.norm2, training=training)
    return [weights.W2 @ x + weights.b2 for x in xs]
