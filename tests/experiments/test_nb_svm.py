from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tests import tiny
from ulmfit.data.datasets import Dataset
from ulmfit.errors import InputError
from ulmfit.experiments.nb_svm import BETAS, DEFAULT_BETA, fit_nb_svm, log_count_ratio


def test_ratios_by_hand() -> None:
    features = csr_matrix(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))
    r = log_count_ratio(features, np.array([True, True, False]))
    # p = 1 + (2, 1), q = 1 + (0, 1)
    assert np.allclose(r, np.log([(3 / 5) / (1 / 3), (2 / 5) / (2 / 3)]))


def test_it_learns_what_the_adjectives_say() -> None:
    texts, labels = tiny.labelled_texts(60)
    model = fit_nb_svm(Dataset(texts, labels), None)
    unseen, truth = tiny.labelled_texts(40, seed=1)
    answers = model.predict_proba([*unseen, "qqq"])
    assert answers.shape == (41, 2)
    assert np.allclose(answers.sum(axis=1), 1)
    assert [model.labels[i] for i in answers[:-1].argmax(axis=1)] == truth


def test_several_classes() -> None:
    texts = ["cat purrs", "dog barks", "bird sings"] * 4
    model = fit_nb_svm(Dataset(texts, ["cat", "dog", "bird"] * 4), None)
    answers = model.predict_proba(["the bird", "a cat", "my dog"]).argmax(axis=1)
    assert [model.labels[i] for i in answers] == ["bird", "cat", "dog"]


def test_one_class_is_refused() -> None:
    with pytest.raises(InputError, match="all 2 rows have the label 'x'"):
        fit_nb_svm(Dataset(["one", "two"], ["x", "x"]), None)


def test_how_much_of_the_machine_counts_is_chosen_on_validation_rows() -> None:
    train, valid = (Dataset(*tiny.labelled_texts(n, seed)) for n, seed in ((60, 0), (20, 1)))
    assert fit_nb_svm(train, None).beta == DEFAULT_BETA
    chosen = fit_nb_svm(train, valid)
    assert chosen.beta in BETAS
    answers = chosen.predict_proba(valid.texts).argmax(axis=1)
    assert [chosen.labels[answer] for answer in answers] == valid.labels
