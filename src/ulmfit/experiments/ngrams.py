"""A linear model on the mean of word and word-pair vectors, in the manner of fastText.

Joulin, Grave, Bojanowski and Mikolov, "Bag of Tricks for Efficient Text Classification", EACL 2017:
p = softmax(W mean(E[n-grams])), trained text by text by SGD at a rate that falls linearly to zero,
the rate chosen on validation data. The n-grams of the training texts have a row each; fastText
hashes them to save memory, which no data set here needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.data.datasets import Dataset, training_rows
from ulmfit.experiments.baselines import class_columns, share_wrong, word_pattern
from ulmfit.stages.ensemble import probabilities

SIZE = 10  # section 3.1 of that paper: 10 hidden units
NGRAMS = (1, 2)  # and bigrams
RATES = (0.05, 0.1, 0.25, 0.5)  # and these rates to choose from
DEFAULT_RATE = 0.25  # where there is no validation set
# Its 5 epochs are for 120 thousand texts and more; smaller sets get as many updates as this.
EPOCHS, LEAST_UPDATES = 5, 100_000

Rows = list[NDArray[np.int64]]
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class NGramModel:
    """A fitted bag of n-grams.

    Attributes:
        labels: class names, by column.
        rate: the one that was chosen.
    """

    labels: list[str]
    rate: float
    _vectorizer: Any
    _embedding: Matrix  # (F, SIZE)
    _output: Matrix  # (SIZE, C)

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Probabilities, (N, C); a text without a known word gets equal ones."""
        rows = rows_of(self._vectorizer.transform(texts))
        hidden = np.stack([_mean(self._embedding, row) for row in rows])
        return probabilities((hidden @ self._output).astype(np.float64), multi_label=False)


def fit_bag_of_ngrams(train: Dataset, valid: Dataset | None, *, seed: int) -> NGramModel:
    """Fit one model for each rate, and keep the one with the fewest errors on `valid`.

    Args:
        train: labelled texts.
        valid: held-out ones; None to take `DEFAULT_RATE`.
        seed: of the first vectors and of the order.

    Raises:
        InputError: no labels, no text, or only one class.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    train = training_rows(train)
    vectorizer = CountVectorizer(ngram_range=NGRAMS, token_pattern=word_pattern())
    rows = rows_of(vectorizer.fit_transform(train.texts))
    targets = class_columns(train, train.classes)
    n_features = len(vectorizer.vocabulary_)
    best: tuple[float, NGramModel] | None = None
    for rate in RATES if valid is not None else (DEFAULT_RATE,):
        embedding, output = descend(rows, targets, n_features, len(train.classes), rate, seed)
        model = NGramModel(train.classes, rate, vectorizer, embedding, output)
        error = share_wrong(model, valid) if valid is not None else 0.0
        if best is None or error < best[0]:
            best = error, model
    assert best is not None
    return best[1]


def descend(
    rows: Rows, targets: NDArray[np.int64], n_features: int, n_classes: int, rate: float, seed: int
) -> tuple[Matrix, Matrix]:
    """Stochastic gradient descent, one text at a time.

    Args:
        rows: n-gram ids of each text, with repeats.
        targets: class of each text, (N,).
        n_features: F.
        n_classes: C.
        rate: at the start; it falls linearly to 0.
        seed: of the first vectors and of the order.

    Returns:
        Vectors of the n-grams (F, SIZE), weights of the classes (SIZE, C).
    """
    rng = np.random.default_rng(seed)
    embedding = rng.uniform(-1 / SIZE, 1 / SIZE, (n_features, SIZE)).astype(np.float32)
    output = np.zeros((SIZE, n_classes), dtype=np.float32)
    epochs = max(EPOCHS, -(-LEAST_UPDATES // len(rows)))
    total, step = epochs * len(rows), 0
    for _ in range(epochs):
        for text in rng.permutation(len(rows)):
            ids, now = rows[text], np.float32(rate * (1 - step / total))
            step += 1
            if not len(ids):
                continue
            hidden = embedding[ids].mean(axis=0)
            scores = hidden @ output
            error = np.exp(scores - scores.max())
            error /= error.sum()
            error[targets[text]] -= 1.0  # gradient of the loss by the scores
            back = output @ error
            output -= now * np.outer(hidden, error)
            np.subtract.at(embedding, ids, now * back / len(ids))
    return embedding, output


def rows_of(counts: Any) -> Rows:
    """Column numbers of each row of a sparse matrix of counts, repeated by their counts."""
    counts = counts.tocsr()
    return [
        np.repeat(counts.indices[start:end], counts.data[start:end]).astype(np.int64)
        for start, end in zip(counts.indptr[:-1], counts.indptr[1:], strict=True)
    ]


def _mean(embedding: Matrix, ids: NDArray[np.int64]) -> Matrix:
    if not len(ids):
        return np.zeros(embedding.shape[1], dtype=np.float32)
    return np.asarray(embedding[ids].mean(axis=0), dtype=np.float32)
