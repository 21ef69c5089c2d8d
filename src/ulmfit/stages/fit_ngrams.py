"""Fit the member that counts words (`ngrams.py`): scikit-learn's regression on TF-IDF."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.stages.calibration import fit_temperature
from ulmfit.stages.ensemble import Scores, probabilities
from ulmfit.stages.ngrams import Ids, NGrams, added, keys_of
from ulmfit.train.reliability import negative_log_likelihood

Targets = NDArray[np.floating] | NDArray[np.bool_]
Terms = NDArray[np.int64]

# As the baseline in `experiments.baselines`: terms that two documents have, C of 10.
MIN_DOCUMENTS = 2
STRENGTH = 10.0
_STEPS = 1000
# The most frequent ones: about ten megabytes. With many classes fewer, as each term has a weight
# for each of them, and the regression takes twenty times the memory of these. Ours.
MOST_TERMS, MOST_WEIGHTS = 400_000, 4_000_000
FOLDS = 5
# What the member counts where nothing is held out, and the middle of the prior where something is:
# of TREC-6, AG News and IMDb with 100 and 500 labels, docs/log.md, "what is a bag of words worth,
# and with which weight?".
DEFAULT_SHARE, PRIOR_WIDTH = 0.5, 0.5
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
# Documents in all folds: one temperature needs no more. Ours.
_MOST_FOLDED = 10_000
# Read at most; the table of all their pairs takes some hundred megabytes. With more labels than
# that a bag of words has nothing left to add. Ours.
MOST_TOKENS = 10_000_000


def fit_ngrams(
    documents: Sequence[Ids], targets: Targets, *, multi_label: bool, seed: int
) -> NGrams:
    """Fit the member; its scores are divided by the temperature that makes them plausible.

    That is found on documents which the regression has not seen, by cross-validation: of those that
    it has seen, a linear layer with more terms than documents is far too sure.

    Args:
        documents: token ids, (N,); of more than `MOST_TOKENS` a part is drawn.
        targets: (N, C), 0 or 1.
        multi_label: whether a row can have several labels.
        seed: of the folds, and of that part.
    """
    order = np.random.default_rng(seed).permutation(len(documents))
    read = np.cumsum([len(documents[i]) for i in order])
    order = order[: max(1, int((read <= MOST_TOKENS).sum()))]
    documents, targets = [documents[i] for i in order], targets[order]
    terms, counts = _counts(documents)
    whole = _fit(terms, counts, targets, multi_label=multi_label)
    folded = np.arange(min(len(documents), _MOST_FOLDED))
    folds = np.array_split(folded, min(FOLDS, len(folded)))
    if len(folds) < 2:
        return whole
    unseen = []
    for fold in folds:
        rest = np.setdiff1d(folded, fold)
        part = _fit(terms, counts[rest], targets[rest], multi_label=multi_label)
        unseen.append(part.scores([documents[i] for i in fold]))
    scores = np.concatenate(unseen)
    temperature = np.float32(fit_temperature(scores, targets[folded], multi_label=multi_label))
    return replace(whole, weights=whole.weights / temperature, bias=whole.bias / temperature)


def choose_share(
    scores: Scores, member: NGrams, documents: Sequence[Ids], targets: Targets, *, multi_label: bool
) -> float:
    """The most plausible of `SHARES` by documents that neither was trained on.

    The least likelihood loss after calibration, with a normal prior around `DEFAULT_SHARE`: some
    dozens of documents do not tell half a share from a whole one.

    Args:
        scores: of the classifier without the member, (N, C).
        member: the member.
        documents: token ids, (N,).
        targets: (N, C), 0 or 1.
        multi_label: whether a row can have several labels.
    """
    own = member.scores(documents)

    def loss(share: float) -> float:
        together = added(scores, own, share, multi_label=multi_label)
        temperature = fit_temperature(together, targets, multi_label=multi_label)
        p = probabilities(together, multi_label=multi_label, temperature=temperature)
        nll = negative_log_likelihood(p, targets, multi_label=multi_label)
        decisions = len(scores) * (scores.shape[1] if multi_label else 1)
        return decisions * nll + (share - DEFAULT_SHARE) ** 2 / (2 * PRIOR_WIDTH**2)

    return min(SHARES, key=loss)


def _fit(terms: Terms, counts: Any, targets: Targets, *, multi_label: bool) -> NGrams:
    chosen = _chosen(counts, min(MOST_TERMS, max(1, MOST_WEIGHTS // targets.shape[1])))
    idf, features = _tfidf(counts[:, chosen])
    if multi_label:
        found = [_log_odds(features, column > 0) for column in targets.T]
        weights = np.stack([weights for weights, _ in found])
        bias = np.array([bias for _, bias in found])
    else:
        weights, bias = _class_scores(features, targets.argmax(axis=1), targets.shape[1])
    by_term = np.ascontiguousarray(weights.T, dtype=np.float32)
    return NGrams(terms[chosen], idf, by_term, bias.astype(np.float32))


def _counts(documents: Sequence[Ids]) -> tuple[Terms, Any]:
    """All terms, ascending, (F,), and how often each document has them, sparse, (N, F)."""
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(analyzer=_terms_of)
    try:
        counts = vectorizer.fit_transform(documents)
    except ValueError:  # no term at all
        return np.zeros(0, np.int64), np.zeros((len(documents), 0))
    return np.array(vectorizer.get_feature_names_out(), dtype=np.int64), counts


def _chosen(counts: Any, most: int) -> NDArray[np.int64]:
    """Positions of the terms that enough of these documents have, or any where none has."""
    if counts.shape[1] == 0:
        return np.zeros(0, np.int64)
    n_documents = counts.getnnz(axis=0)
    for least in (MIN_DOCUMENTS, 1):
        enough = np.flatnonzero(n_documents >= least)
        if len(enough):
            break
    if len(enough) <= most:
        return enough
    occurrences = np.asarray(counts.sum(axis=0))[0, enough]
    return np.sort(enough[np.argsort(-occurrences, kind="stable")[:most]])


def _tfidf(counts: Any) -> tuple[NDArray[np.float32], Any]:
    """Idf of each term, and the features, (N, F)."""
    from sklearn.feature_extraction.text import TfidfTransformer

    if counts.shape[1] == 0:
        return np.zeros(0, np.float32), np.zeros(counts.shape)
    transformer = TfidfTransformer(sublinear_tf=True)
    features = transformer.fit_transform(counts)
    return transformer.idf_.astype(np.float32), features


def _terms_of(document: Ids) -> list[int]:
    found: list[int] = keys_of(document)[0].tolist()
    return found


def _class_scores(
    features: Any, classes: NDArray[np.int64], n_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (C, F) and biases (C,); a class that no row has keeps the bias of half a row."""
    rows = np.bincount(classes, minlength=n_classes)
    weights = np.zeros((n_classes, features.shape[1]))
    bias = np.log(np.maximum(rows, 0.5) / len(classes))
    there = np.flatnonzero(rows)
    if len(there) == 2:
        slope, start = _log_odds(features, classes == there[1])
        weights[there] = [-slope / 2, slope / 2]
        bias[there] = [-start / 2, start / 2]
    elif len(there) > 2 and features.shape[1]:
        found = _regress(features, classes)
        weights[there], bias[there] = found.coef_, found.intercept_
    return weights, bias


def _log_odds(features: Any, truth: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Weights (F,) and bias of one label's log-odds."""
    yes = int(truth.sum())
    no = len(truth) - yes
    if not (yes and no and features.shape[1]):
        # a half more of each: what all rows have is not certain for ever
        return np.zeros(features.shape[1]), float(np.log((yes + 0.5) / (no + 0.5)))
    found = _regress(features, truth)
    return found.coef_[0], float(found.intercept_[0])


def _regress(features: Any, truth: NDArray[Any]) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=STRENGTH, max_iter=_STEPS).fit(features, truth)
