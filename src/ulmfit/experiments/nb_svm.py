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
from ulmfit.experiments.baselines import word_pattern

# Section 4.2 of that paper: "NBSVM ... alpha = 1, C = 1, beta = 0.25".
ALPHA, STRENGTH, BETA = 1.0, 1.0, 0.25
NGRAMS = (1, 2)
_SEED = 0  # of liblinear's order of rows


@dataclass(frozen=True)
class NBSVM:
    """A fitted NB-SVM.

    Attributes:
        labels: class names, by column.
    """

    labels: list[str]
    _vectorizer: Any
    _weights: NDArray[np.float64]  # (F, C): ratio and interpolated weight in one
    _biases: NDArray[np.float64]  # (C,)

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """Softmax over the margins, (N, C): their order counts, the values are not tuned."""
        margins = self._vectorizer.transform(texts) @ self._weights + self._biases
        raised = np.exp(margins - margins.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))


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


def fit_nb_svm(train: Dataset) -> NBSVM:
    """Fit on words and word pairs, present or absent.

    Raises:
        InputError: no labels, no text, or only one class.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.svm import LinearSVC

    train = training_rows(train)
    vectorizer = CountVectorizer(ngram_range=NGRAMS, binary=True, token_pattern=word_pattern())
    features = vectorizer.fit_transform(train.texts).astype(np.float64)
    labels = np.array(train.labels)
    weights, biases = [], []
    for name in train.classes:
        positive = labels == name
        r = log_count_ratio(features, positive)
        machine = LinearSVC(C=STRENGTH, random_state=_SEED, max_iter=5000)
        machine.fit(features.multiply(r).tocsr(), positive)
        w = machine.coef_[0]
        # Interpolated with the mean magnitude, which is naive Bayes: w' = (1 - beta) |w| + beta w.
        weights.append(r * ((1 - BETA) * np.abs(w).mean() + BETA * w))
        biases.append(float(machine.intercept_[0]))
    return NBSVM(train.classes, vectorizer, np.stack(weights, axis=1), np.array(biases))
