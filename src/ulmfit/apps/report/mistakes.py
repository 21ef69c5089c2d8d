"""What a model gets wrong, and whether it differs from another one by more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ulmfit.train.metrics import Labels
from ulmfit.train.reliability import row_confidence

_MOST_EXACT = 1000  # rows up to which binomials are summed


@dataclass(frozen=True)
class Mistake:
    """A wrong answer.

    Attributes:
        row: from 0.
        true: label, or the labels joined by commas.
        predicted: the answer, likewise.
        confidence: the model's own probability that it is right.
    """

    row: int
    true: str
    predicted: str
    confidence: float


def confident_mistakes(
    truth: Labels, predicted: Labels, probabilities: NDArray[np.floating], *, multi_label: bool
) -> list[Mistake]:
    """All wrong answers, the surest first."""
    confidence = row_confidence(probabilities, multi_label=multi_label)
    wrong = np.flatnonzero(~right(truth, predicted))
    order = wrong[np.argsort(-confidence[wrong], kind="stable")]
    return [
        Mistake(int(row), name_of(truth[row]), name_of(predicted[row]), float(confidence[row]))
        for row in order
    ]


def right(truth: Labels, predicted: Labels) -> NDArray[np.bool_]:
    """Which rows are answered right, (N,); of several labels all, in any order."""
    pairs = zip(truth, predicted, strict=True)
    return np.array([_as_set(one) == _as_set(other) for one, other in pairs], dtype=np.bool_)


def _as_set(label: str | Sequence[str]) -> frozenset[str]:
    return frozenset((label,) if isinstance(label, str) else label)


def name_of(label: str | Sequence[str]) -> str:
    """A label, or the labels of a text, for people."""
    return label if isinstance(label, str) else ", ".join(label) or "(none)"


def mcnemar(first: Sequence[bool] | NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Probability of a difference as large as this between two models that are equally good.

    Of the n rows that just one of both gets right, k for the better one, the exact two-sided test
    (McNemar 1947): 2 * sum over i >= k of C(n, i) / 2^n; for large n by the normal distribution
    with the correction for continuity.

    Args:
        first: which rows the one gets right.
        second: which rows the other one gets right.
    """
    mine, theirs = np.asarray(first, dtype=np.bool_), np.asarray(second, dtype=np.bool_)
    only_first, only_second = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
    n, least = only_first + only_second, min(only_first, only_second)
    if not n:
        return 1.0
    if n > _MOST_EXACT:
        z = max(0.0, abs(only_first - only_second) - 1) / math.sqrt(n)
        return float(math.erfc(z / math.sqrt(2)))
    tail = sum(math.comb(n, i) for i in range(least + 1))
    return min(1.0, float(2 * tail / 2**n))
