"""Cross entropy over a large vocabulary: exact, or over a sample with inclusion correction."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Rows of logits held at once in evaluation: 1,024 x 60,000 words in float32 is 245 MB.
LOGIT_ROWS = 1024

# Logits held at once in training, 16 MB of float32: with 4 MB the full softmax over 30,000 words
# takes 1.6 times as long, and more gains nothing (docs/log.md, "which block size for the cross
# entropy?").
BLOCK_LOGITS = 1 << 22

# Candidates come in multiples of this: memory is kept for each shape of a product, and a new number
# of candidates at every step let it grow by gigabytes (docs/log.md, "does a fixed number of
# candidates stop the growth of memory?").
CANDIDATE_MULTIPLE = 128


def full_softmax_loss(hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Mean negative log-likelihood in nats per token.

    Args:
        hidden: (N, E), float32 or bfloat16: the type of the matrix products.
        targets: word ids, (N,).
        weight: (V, E).
        bias: (V,).

    Returns:
        Scalar, float32.
    """
    return _blockwise_cross_entropy(hidden, targets, weight, bias, None)


class _BlockwiseCrossEntropy(torch.autograd.Function):
    """Mean cross entropy of softmax(z), z = h W^T + b, whose (N, V) logits never exist as a whole.

    The gradient for z is softmax(z) - onehot(y): it is taken block by block together with the loss,
    while the block is in the cache, and the backward pass only scales it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        targets: Tensor,
        weight: Tensor,
        bias: Tensor,
        own: Tensor | None,
    ) -> Tensor:
        """`own`, (N,), is added to the logit of each row's own target; None for nothing."""
        w = weight.detach().to(hidden.dtype)
        d_hidden, d_weight, d_bias = (torch.zeros_like(x) for x in (hidden, weight, bias))
        loss = torch.zeros((), dtype=torch.float64, device=hidden.device)
        rows = max(1, BLOCK_LOGITS // w.size(0))
        for start in range(0, hidden.size(0), rows):
            h = hidden[start : start + rows]
            y = targets[start : start + rows].unsqueeze(1)
            z = torch.mm(h, w.t()).float().add_(bias)
            if own is not None:
                z.scatter_add_(1, y, own[start : start + rows].unsqueeze(1))
            z.sub_(z.amax(dim=1, keepdim=True))
            z_y = z.gather(1, y)
            total = z.exp_().sum(dim=1, keepdim=True)
            loss += (total.log() - z_y).sum()
            d_z = z.div_(total).scatter_add_(1, y, -torch.ones_like(z_y))
            d_bias += d_z.sum(dim=0)
            d_z = d_z.to(hidden.dtype)
            d_hidden[start : start + rows] = torch.mm(d_z, w)
            d_weight += torch.mm(d_z.t(), h)
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        ctx.n = hidden.size(0)
        return (loss / hidden.size(0)).float()

    @staticmethod
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        """Each gradient times the loss's own."""
        scale = d_loss / ctx.n
        d_hidden, d_weight, d_bias = (saved * scale.to(saved.dtype) for saved in ctx.saved_tensors)
        return d_hidden, None, d_weight, d_bias, None


def _blockwise_cross_entropy(*arguments: Tensor | None) -> Tensor:
    loss: Tensor = _BlockwiseCrossEntropy.apply(*arguments)  # type: ignore[no-untyped-call]
    return loss


@torch.no_grad()
def summed_nll(hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Summed negative log-likelihood in nats, float64, over blocks of rows: bounded memory."""
    total = torch.zeros((), dtype=torch.float64, device=hidden.device)
    for start in range(0, hidden.size(0), LOGIT_ROWS):
        block = slice(start, start + LOGIT_ROWS)
        logits = F.linear(hidden[block], weight, bias).float()
        total += F.cross_entropy(logits, targets[block], reduction="sum").double()
    return total


class Candidates(NamedTuple):
    """A sample of the vocabulary, the last word repeated until K is a `CANDIDATE_MULTIPLE`.

    Attributes:
        words: ids, ascending, (K,).
        positions: where each target is among them, (N,).
        correction: log of the probability to be among them, (K,); infinite for the repeats, so that
            they add nothing to the sum.
    """

    words: Tensor
    positions: Tensor
    correction: Tensor


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

    def choose(self, targets: Tensor) -> Candidates:
        """Candidates for a batch with these targets, (N,)."""
        words, positions = torch.unique(torch.cat([targets, self.draw()]), return_inverse=True)
        correction = self.log_inclusion(targets.numel())[words]
        missing = -words.numel() % CANDIDATE_MULTIPLE
        return Candidates(
            torch.cat([words, words[-1:].expand(missing)]),
            positions[: targets.numel()],
            F.pad(correction, (0, missing), value=math.inf),
        )


def sampled_softmax_loss(
    hidden: Tensor, candidates: Candidates, weight: Tensor, bias: Tensor
) -> Tensor:
    """Estimate of `full_softmax_loss`, in nats per token.

    Args:
        hidden: (N, E), float32 or bfloat16: the type of the matrix products.
        candidates: by `SampledSoftmax.choose`.
        weight: their rows, (K, E).
        bias: theirs, (K,).

    Returns:
        Scalar, float32.
    """
    _, positions, correction = candidates
    # A row's own target is a candidate for certain: its score needs no correction.
    own = correction[positions]
    return _blockwise_cross_entropy(hidden, positions, weight, bias - correction, own)
