"""Cross entropy over a large vocabulary: exact, or over a sample with inclusion correction."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Rows of logits held at once in evaluation: 1,024 x 60,000 words in float32 is 245 MB.
EVAL_ROWS = 1024


def full_softmax_loss(hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Mean negative log-likelihood in nats per token.

    Args:
        hidden: (N, E).
        targets: word ids, (N,).
        weight: (V, E).
        bias: (V,).

    Returns:
        Scalar.
    """
    return F.cross_entropy(F.linear(hidden, weight, bias).float(), targets)


@torch.no_grad()
def summed_nll(hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Summed negative log-likelihood in nats, float64, over blocks of rows: bounded memory."""
    total = torch.zeros((), dtype=torch.float64, device=hidden.device)
    for start in range(0, hidden.size(0), EVAL_ROWS):
        block = slice(start, start + EVAL_ROWS)
        logits = F.linear(hidden[block], weight, bias).float()
        total += F.cross_entropy(logits, targets[block], reduction="sum").double()
    return total


class SampledSoftmax:
    """Softmax over a sample of the vocabulary, its sum corrected by inclusion probabilities.

    The candidates S are the batch's own targets and `n_samples` draws from q ~ p^power. With pi_w
    the probability that word w is among them, sum_{w in S} exp(z_w) / pi_w is an unbiased estimate
    (Horvitz & Thompson 1952) of the full sum, so the loss is that of the full softmax up to the
    noise in the rare words. Batches of thousands of targets make pi = 1 for all frequent words.

    Args:
        counts: occurrences of each word in the training corpus, (V,).
        n_samples: draws per batch in addition to the batch's targets.
        power: flattens the unigram distribution the draws come from.
    """

    def __init__(self, counts: Tensor, n_samples: int, power: float = 0.5) -> None:
        p = (counts.double() + 1.0) / (counts.double() + 1.0).sum()
        q = p.pow(power) / p.pow(power).sum()
        self.n_samples = n_samples
        self.log_not_p, self.log_not_q = torch.log1p(-p), torch.log1p(-q)
        self.cdf = q.cumsum(0)

    def log_inclusion(self, n_targets: int) -> Tensor:
        """log pi, (V,): a word is in by one of the targets or by one of the draws."""
        log_absent = n_targets * self.log_not_p + self.n_samples * self.log_not_q
        return torch.log1p(-log_absent.exp()).float()

    def draw(self) -> Tensor:
        """Word ids drawn from q with replacement, (n_samples,)."""
        uniform = torch.rand(self.n_samples, dtype=torch.float64, device=self.cdf.device)
        return torch.searchsorted(self.cdf, uniform).clamp_(max=self.cdf.numel() - 1)

    def loss(self, hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Estimate of `full_softmax_loss`: same arguments, scalar in nats per token."""
        candidates, positions = torch.unique(torch.cat([targets, self.draw()]), return_inverse=True)
        positions = positions[: targets.numel()]
        correction = self.log_inclusion(targets.numel()).to(bias)[candidates]
        scores = F.linear(hidden, weight[candidates], bias[candidates] - correction).float()
        # A row's own target is a candidate for certain: its score needs no correction.
        own = positions.unsqueeze(1)
        scores = scores.scatter_add(1, own, correction[own])
        return F.cross_entropy(scores, positions)
