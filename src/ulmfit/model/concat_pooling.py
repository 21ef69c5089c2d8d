"""Concat pooling (paper, section 3.3): [h_T, maxpool(H), meanpool(H)], updated chunk by chunk.

The running form needs constant memory, so a document may be of any length.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Pool(NamedTuple):
    """Pools over the tokens seen so far, of B documents.

    Attributes:
        last: hidden state of the last real token, (B, E).
        maximum: largest value of each feature, (B, E).
        total: sum over tokens, (B, E).
        n_pooled: number of tokens in the maximum and the total, (B, 1).
    """

    last: Tensor
    maximum: Tensor
    total: Tensor
    n_pooled: Tensor

    def concat(self) -> Tensor:
        """[h_T, maxpool(H), meanpool(H)], (B, 3E)."""
        return torch.cat([self.last, self.maximum, self.total / self.n_pooled], dim=1)


def empty_pool(batch_size: int, size: int, like: Tensor) -> Pool:
    """A pool over no token, for documents of hidden size `size`."""
    zeros = like.new_zeros(batch_size, size)
    return Pool(zeros, torch.full_like(zeros, -torch.inf), zeros, like.new_zeros(batch_size, 1))


def update_pool(pool: Pool, hidden: Tensor, real: Tensor, pooled: Tensor) -> Pool:
    """Take one chunk in.

    Args:
        pool: the documents' pools so far.
        hidden: the chunk's hidden states, (B, T, E).
        real: number of real tokens at the chunk's front, (B,), each >= 1.
        pooled: whether the chunk counts for the max and mean pools, (B,) bool; h_T is always kept.

    Returns:
        The pools after the chunk.
    """
    steps = torch.arange(hidden.size(1), device=hidden.device)
    counted = (steps < real.unsqueeze(1)) & pooled.unsqueeze(1)
    outside = ~counted.unsqueeze(-1)
    rows = torch.arange(hidden.size(0), device=hidden.device)
    return Pool(
        last=hidden[rows, real - 1],
        maximum=torch.maximum(pool.maximum, hidden.masked_fill(outside, -torch.inf).amax(1)),
        total=pool.total + hidden.masked_fill(outside, 0.0).sum(1, dtype=pool.total.dtype),
        n_pooled=pool.n_pooled + counted.sum(1, keepdim=True),
    )


def join_pools(pool: Pool, newcomers: int) -> Pool:
    """Append `newcomers` documents of which nothing has been seen."""
    if newcomers == 0:
        return pool
    fresh = empty_pool(newcomers, pool.last.size(1), pool.last)
    return Pool(*(torch.cat(pair) for pair in zip(pool, fresh, strict=True)))
