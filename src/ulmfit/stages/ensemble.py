"""Forward and backward classifier as one: the class probabilities are averaged (section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float32]


def average(members: Sequence[Probabilities]) -> Probabilities:
    """Mean of the members' probabilities, each (N, C) -> (N, C)."""
    return np.asarray(np.mean(members, axis=0), dtype=np.float32)
