"""Variational dropout and embedding dropout (Merity et al. 2017, sections 4.2 and 4.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def variational_dropout(x: Tensor, p: float, *, training: bool) -> Tensor:
    """Drop the same features at every time step of a sequence.

    Args:
        x: activations, (B, T, D).
        p: probability that a feature is dropped; the rest is scaled by 1 / (1 - p).
        training: identity if false.

    Returns:
        (B, T, D).
    """
    if not training or p == 0.0:
        return x
    return x * dropout_mask(x, (x.size(0), 1, x.size(2)), p)


def dropout_mask(like: Tensor, shape: Sequence[int], p: float) -> Tensor:
    """Bernoulli(1 - p) mask of `shape`, divided by 1 - p, of `like`'s dtype and device.

    On a CPU four entries share one 64-bit random number, at 16 bits each: `bernoulli_` takes four
    times as long, and the masks of weight drop would be a quarter of a step on short documents. So
    p is rounded to a multiple of 1 / 65,536.
    """
    if like.device.type != "cpu":
        return like.new_empty(shape).bernoulli_(1 - p).div_(1 - p)
    size = math.prod(shape)
    words = torch.randint(-(2**63), 2**63 - 1, (-(-size // 4),))
    sixteen_bits = words.view(torch.int16)[:size].view(*shape)
    keep = sixteen_bits >= round(p * 2**16) - 2**15
    return keep.to(like.dtype).mul_(1 / (1 - p))


def embed(tokens: Tensor, weight: Tensor, p: float, *, training: bool) -> Tensor:
    """Look up embeddings, dropping whole words: a dropped word is zero wherever it occurs.

    The mask is drawn per row of `weight` (V numbers) but applied only to the words in the batch: a
    masked copy of the whole matrix, (V, E), would cost more than the lookup.

    Args:
        tokens: word ids, (B, T).
        weight: embedding matrix, (V, E), or those of its rows in which `tokens` are positions.
        p: probability that a word is dropped in this batch.
        training: plain lookup if false.

    Returns:
        (B, T, E).
    """
    embedded = F.embedding(tokens, weight)
    if not training or p == 0.0:
        return embedded
    word_mask = dropout_mask(weight, (weight.size(0),), p)
    return embedded * word_mask[tokens].unsqueeze(-1)
