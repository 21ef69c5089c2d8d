"""From probabilities to labels, and when not to give one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.errors import SettingsError
from ulmfit.train.reliability import row_confidence

Probabilities = NDArray[np.float32]

# A label of a multi-label model is given above this probability, as scikit-learn does.
THRESHOLD = 0.5


def most_probable(
    probabilities: Probabilities,
    labels: Sequence[str],
    *,
    multi_label: bool,
    threshold: float = THRESHOLD,
) -> list[str] | list[tuple[str, ...]]:
    """The most probable class of each row; for multi-label all classes over the threshold.

    Args:
        probabilities: (N, C).
        labels: names of the classes, by column.
        multi_label: whether a row may have any number of labels.
        threshold: for multi-label only.
    """
    if multi_label:
        return [
            tuple(name for name, p in zip(labels, row, strict=True) if p > threshold)
            for row in probabilities
        ]
    return [labels[i] for i in probabilities.argmax(axis=1)]


def with_abstention(
    decided: Sequence[str] | Sequence[tuple[str, ...]],
    probabilities: Probabilities,
    min_confidence: float | None,
    *,
    multi_label: bool,
) -> Sequence[str | None] | Sequence[tuple[str, ...] | None]:
    """The labels, with None for rows that are less sure than `min_confidence`.

    How sure is `train.reliability.row_confidence`: the probability that the answer is right, with
    several labels that all of them are.
    """
    if min_confidence is None:
        return decided
    sure = row_confidence(probabilities, multi_label=multi_label) >= min_confidence
    answers: list[Any] = [
        label if enough else None for label, enough in zip(decided, sure.tolist(), strict=True)
    ]
    return answers


def require_confidence(min_confidence: float | None) -> None:
    """Refuse what is no probability.

    Raises:
        SettingsError: below 0 or above 1.
    """
    if min_confidence is not None and not 0 <= min_confidence <= 1:
        raise SettingsError(
            f"min_confidence is {min_confidence}", expected="a probability, from 0 to 1"
        )
