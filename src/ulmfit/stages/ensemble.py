"""Forward and backward classifier as one: the class probabilities are averaged (section 4.1).

All of it in logarithms, in which no probability is so near to 0 or 1 that it cannot be told from
it: calibration divides them, and explanations are about their differences.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float32]
Scores = NDArray[np.float64]


def average_scores(logits: Sequence[NDArray[np.floating]], *, multi_label: bool) -> Scores:
    """The members' averaged probabilities p, as scores, each (N, C) -> (N, C).

    Args:
        logits: of each member.
        multi_label: one sigmoid per class instead of one softmax over classes.

    Returns:
        log p of each class; for several labels the log-odds, log p - log(1 - p).
    """
    scores = np.asarray(logits, dtype=np.float64)
    if multi_label:
        yes, no = np.logaddexp(0, -scores), np.logaddexp(0, scores)  # -log p, -log(1 - p)
        return _log_mean(-yes) - _log_mean(-no)
    shifted = scores - scores.max(axis=2, keepdims=True)
    return _log_mean(shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True)))


def probabilities(scores: Scores, *, multi_label: bool, temperature: float = 1.0) -> Probabilities:
    """Probabilities of scores, (N, C): softmax(scores / temperature), or sigmoid of the same.

    With a temperature of 1 these are the averages themselves. None changes which class is the most
    probable, nor which are more probable than not.
    """
    cooled = scores / temperature
    if multi_label:
        odds = np.exp(-np.abs(cooled))  # the same for both signs, and neither can overflow
        return np.asarray(np.where(cooled >= 0, 1.0, odds) / (1 + odds), dtype=np.float32)
    powers = np.exp(cooled - cooled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def _log_mean(logs: Scores) -> Scores:
    """Logarithm of the mean over the members, (D, N, C) -> (N, C)."""
    mean: Scores = np.logaddexp.reduce(logs, axis=0) - np.log(len(logs))
    return mean
