"""Variational dropout and embedding dropout (Merity et al. 2017, sections 4.2 and 4.3)."""

from __future__ import annotations

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


def dropout_mask(like: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    """Bernoulli(1 - p) mask of `shape`, divided by 1 - p, of `like`'s dtype and device."""
    return like.new_empty(shape).bernoulli_(1 - p).div_(1 - p)


def embed(tokens: Tensor, weight: Tensor, p: float, *, training: bool) -> Tensor:
    """Look up embeddings, dropping whole words: a dropped word is zero wherever it occurs.

    The mask is drawn per word of the vocabulary (V numbers) but applied only to the rows in the
    batch: a masked copy of the whole matrix, (V, E), would cost more than the lookup.

    Args:
        tokens: word ids, (B, T).
        weight: embedding matrix, (V, E).
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
