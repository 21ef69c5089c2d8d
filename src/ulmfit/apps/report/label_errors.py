"""Rows whose label is likely wrong, by confident learning.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ulmfit.train.metrics import Labels, indicators

Probabilities = NDArray[np.floating]


@dataclass(frozen=True)
class Suspect:
    """A row whose label the model contradicts with more than its usual confidence.

    Attributes:
        row: from 0.
        given: the label in the data; for several labels one of them, or "not x".
        suggested: what the model holds for right.
        p_given: its probability of `given`.
        p_suggested: its probability of `suggested`.
    """

    row: int
    given: str
    suggested: str
    p_given: float
    p_suggested: float


def find_label_errors(
    probabilities: Probabilities, labels: Labels, classes: Sequence[str], *, multi_label: bool
) -> list[Suspect]:
    """Likely label errors, the surest first.

    The threshold t_j of a class is the mean probability of j over the rows labelled j: how sure the
    model is when it agrees. A row labelled i is suspect if, of the classes j with p_j >= t_j, the
    most probable is not i (section 3.1, equations 1 and 2), and more probable than i: of a class
    with few rows, themselves doubtful, the threshold alone would let anything pass. For several
    labels each class is such a question of two answers. The order is by normalised margin,
    p_suggested - p_given.

    Args:
        probabilities: (N, C), best from a model that has not seen these rows.
        labels: N labels, each of `classes`.
        classes: C names.
        multi_label: whether a row can have several labels.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    given = indicators(labels, classes)
    if not len(p):
        return []
    found = _several(p, given, classes) if multi_label else _single(p, labels, given, classes)
    return sorted(found, key=lambda suspect: (suspect.p_given - suspect.p_suggested, suspect.row))


def _single(
    p: Probabilities, labels: Labels, given: NDArray[np.bool_], classes: Sequence[str]
) -> list[Suspect]:
    confident = np.where(p >= _thresholds(p, given), p, -1.0)
    best = confident.argmax(axis=1)
    own = given.argmax(axis=1)
    every = np.arange(len(p))
    rows = np.flatnonzero((confident.max(axis=1) > 0) & (p[every, best] > p[every, own]))
    names = cast("Sequence[str]", labels)
    return [
        Suspect(i, names[i], classes[int(best[i])], float(p[i, own[i]]), float(p[i, best[i]]))
        for i in rows.tolist()
    ]


def _several(p: Probabilities, given: NDArray[np.bool_], classes: Sequence[str]) -> list[Suspect]:
    found = []
    for column, name in enumerate(classes):
        has, own = p[:, column], given[:, column]
        two = np.stack([1 - has, has], axis=1)
        present, absent = two >= _thresholds(two, np.stack([~own, own], axis=1)), f"not {name}"
        for i in np.flatnonzero(present[:, 1] & ~present[:, 0] & ~own & (has > 0.5)):
            found.append(Suspect(int(i), absent, name, float(1 - has[i]), float(has[i])))
        for i in np.flatnonzero(present[:, 0] & ~present[:, 1] & own & (has < 0.5)):
            found.append(Suspect(int(i), name, absent, float(has[i]), float(1 - has[i])))
    return found


def _thresholds(p: Probabilities, given: NDArray[np.bool_]) -> Probabilities:
    """t_j = mean of p_j over the rows labelled j, (C,); out of reach for classes without rows."""
    count = given.sum(axis=0)
    total = (p * given).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)
