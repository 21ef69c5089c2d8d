"""Documents of word ids whose class is one of their words."""

from __future__ import annotations

import numpy as np

from ulmfit.data.rules import SPECIALS
from ulmfit.stages.ngrams import Ids

WORD = len(SPECIALS)  # the first id that is no mark
GOOD, BAD, FILM = WORD, WORD + 1, WORD + 2


def document(*ids: int) -> Ids:
    return np.array([SPECIALS.index("xxbos"), *ids], dtype=np.int32)


def reviews(n: int, classes: int = 2, seed: int = 0) -> tuple[list[Ids], np.ndarray]:
    """Documents of noise words and, nine times in ten, the word of their class."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(classes, size=n)
    documents = []
    for label in truth:
        said = label if draw.random() < 0.9 else draw.integers(classes)
        noise = draw.integers(WORD + 10, WORD + 40, size=8)
        documents.append(document(*noise.tolist(), WORD + int(said)))
    return documents, np.eye(classes)[truth]
