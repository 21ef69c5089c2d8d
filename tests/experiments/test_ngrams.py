from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tests import tiny
from ulmfit.data.datasets import Dataset
from ulmfit.errors import InputError
from ulmfit.experiments.ngrams import DEFAULT_RATE, RATES, descend, fit_bag_of_ngrams, rows_of


def test_counts_become_repeated_ids() -> None:
    rows = rows_of(csr_matrix(np.array([[0, 2, 1], [0, 0, 0]])))
    assert [row.tolist() for row in rows] == [[1, 1, 2], []]


def test_a_step_of_descent_by_hand() -> None:
    """One text, one step of each epoch: the first moves W by the mean vector, and E not at all."""
    rows = [np.array([0, 1])]
    start = np.random.default_rng(0).uniform(-0.1, 0.1, (3, 10)).astype(np.float32)
    embedding, output = descend(rows, np.array([0]), 3, 2, rate=0.5, seed=0)
    assert np.array_equal(embedding[2], start[2]), "a word that does not occur stays"
    hidden = embedding[:2].mean(axis=0)
    assert (hidden @ output)[0] > (hidden @ output)[1]


def test_it_learns_what_the_adjectives_say_and_chooses_a_rate() -> None:
    texts, labels = tiny.labelled_texts(60)
    valid = Dataset(*tiny.labelled_texts(20, seed=2))
    model = fit_bag_of_ngrams(Dataset(texts, labels), valid, seed=0)
    assert model.rate in RATES
    unseen, truth = tiny.labelled_texts(40, seed=1)
    answers = model.predict_proba(unseen)
    assert np.allclose(answers.sum(axis=1), 1)
    assert [model.labels[i] for i in answers.argmax(axis=1)] == truth
    assert np.allclose(model.predict_proba(["qqq"]), 0.5), "no known word"


def test_seeds_repeat_and_without_validation_rows_there_is_one_rate() -> None:
    data = Dataset(*tiny.labelled_texts(20))
    first, second = (fit_bag_of_ngrams(data, None, seed=3) for _ in range(2))
    assert first.rate == DEFAULT_RATE
    assert np.array_equal(first.predict_proba(data.texts), second.predict_proba(data.texts))


def test_one_class_is_refused() -> None:
    with pytest.raises(InputError, match="all 2 rows have the label 'x'"):
        fit_bag_of_ngrams(Dataset(["one", "two"], ["x", "x"]), None, seed=0)
