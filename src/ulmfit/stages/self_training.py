"""Which unlabelled documents a classifier may label for its own further training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def surest(
    probabilities: NDArray[np.floating], shares: NDArray[np.floating], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The documents of each class that a classifier is surest of.

    Of each class as large a part as among the labels: what is easy to tell must not crowd out the
    rest. A class that is predicted too rarely gives what it has.

    Args:
        probabilities: of the unlabelled documents, (N, C).
        shares: of the classes, (C,), in sum 1.
        n: documents wanted.

    Returns:
        Rows in ascending order and their classes.
    """
    predicted = probabilities.argmax(axis=1)
    chosen: list[NDArray[np.int64]] = []
    for column, share in enumerate(shares):
        rows = np.flatnonzero(predicted == column)
        order = np.argsort(-probabilities[rows, column], kind="stable")
        chosen.append(rows[order[: round(n * float(share))]])
    rows = np.sort(np.concatenate(chosen))
    return rows, predicted[rows]
