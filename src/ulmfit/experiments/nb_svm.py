"""NB-SVM: a linear support vector machine on naive Bayes' log-count ratios.

Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification", ACL
2012; several classes by one-vs-rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.data.datasets import Dataset, training_rows
from ulmfit.experiments.baselines import share_wrong, word_pattern
from ulmfit.stages.ensemble import probabilities

# Section 4.2 of that paper: "NBSVM ... alpha = 1, C = 1, beta = 0.25".
ALPHA, STRENGTH = 1.0, 1.0
# On short questions its beta is far from the best, so it is chosen where it can be: docs/log.md,
# "which interpolation for NB-SVM on questions?".
BETAS = (0.25, 0.5, 0.75, 1.0)
DEFAULT_BETA = 0.5
NGRAMS = (1, 2)
_SEED = 0  # of liblinear's order of rows


@dataclass(frozen=True)
class NBSVM:
    """A fitted NB-SVM.

    Attributes:
        labels: class names, by column.
        beta: share of the machine beside naive Bayes.
    """

    labels: list[str]
    beta: float
    _vectorizer: Any
    _weights: NDArray[np.float64]  # (F, C): ratio and interpolated weight in one
    _biases: NDArray[np.float64]  # (C,)

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Softmax over the margins, (N, C): their order counts, the values are not tuned."""
        margins = self._vectorizer.transform(texts) @ self._weights + self._biases
        return probabilities(np.asarray(margins), multi_label=False)


def log_count_ratio(features: Any, positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """r = log((p / |p|) / (q / |q|)), (F,).

    p is alpha plus the counts in the positive rows, q in the others.

    Args:
        features: 0 or 1 for each n-gram, sparse, (N, F).
        positive: rows of the class, (N,).
    """
    p = ALPHA + np.asarray(features[positive].sum(axis=0)).ravel()
    q = ALPHA + np.asarray(features[~positive].sum(axis=0)).ravel()
    return np.asarray(np.log((p / p.sum()) / (q / q.sum())))


def fit_nb_svm(train: Dataset, valid: Dataset | None) -> NBSVM:
    """Fit on words and word pairs, present or absent.

    Args:
        train: labelled texts.
        valid: held-out ones, which choose how much of the machine there is beside naive Bayes; None
            to take `DEFAULT_BETA`.

    Raises:
        InputError: no labels, no text, or only one class.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    train = training_rows(train)
    vectorizer = CountVectorizer(ngram_range=NGRAMS, binary=True, token_pattern=word_pattern())
    features = vectorizer.fit_transform(train.texts).astype(np.float64)
    labels = np.array(train.labels)
    machines = [_one_against_rest(features, labels == name) for name in train.classes]
    ratios, weights = (np.stack([part[n] for part in machines], axis=1) for n in (0, 1))
    biases = np.array([bias for _, _, bias in machines])
    naive = np.abs(weights).mean(axis=0)
    # Interpolated with the mean magnitude, which is naive Bayes: w' = (1 - beta) mean|w| + beta w.
    models = [
        NBSVM(train.classes, b, vectorizer, ratios * ((1 - b) * naive + b * weights), biases)
        for b in (BETAS if valid is not None else (DEFAULT_BETA,))
    ]
    return models[0] if valid is None else min(models, key=lambda model: share_wrong(model, valid))


def _one_against_rest(
    features: Any, positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Ratio (F,), weights (F,) and bias of the machine of one class."""
    from sklearn.svm import LinearSVC

    r = log_count_ratio(features, positive)
    machine = LinearSVC(C=STRENGTH, random_state=_SEED, max_iter=5000)
    machine.fit(features.multiply(r).tocsr(), positive)
    return r, machine.coef_[0], float(machine.intercept_[0])
