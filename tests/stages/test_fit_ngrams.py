"""What the member that counts words learns, and how much it is to count."""

from __future__ import annotations

import numpy as np
import pytest

from tests.stages.word_documents import BAD, GOOD, document, reviews
from ulmfit.stages.ensemble import probabilities
from ulmfit.stages.fit_ngrams import SHARES, choose_share, fit_ngrams
from ulmfit.stages.ngrams import Ids, NGrams


@pytest.fixture(scope="module")
def member() -> NGrams:
    return fit_ngrams(*reviews(300), multi_label=False, seed=0)


@pytest.mark.parametrize("classes", [2, 3])
def test_it_learns_which_words_speak_for_a_class(classes: int) -> None:
    member = fit_ngrams(*reviews(400, classes), multi_label=False, seed=0)
    documents, targets = reviews(200, classes, seed=1)
    found = member.scores(documents).argmax(axis=1)
    assert np.mean(found != targets.argmax(axis=1)) < 0.15


def test_it_agrees_with_scikit_learns_tfidf() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    documents, targets = reviews(200, 3)
    texts = [" ".join(f"w{i}" for i in each[1:]) for each in documents]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    regression = LogisticRegression(C=10, max_iter=1000)
    regression.fit(vectorizer.fit_transform(texts), targets.argmax(axis=1))
    expected = regression.decision_function(vectorizer.transform(texts))
    ours = fit_ngrams(documents, targets, multi_label=False, seed=0).scores(documents)
    # ours are divided by a temperature, and softmax does not see what all classes have in common
    centred = [scores - scores.mean(axis=1, keepdims=True) for scores in (ours, expected)]
    ratio = centred[1].std() / centred[0].std()
    np.testing.assert_allclose(ratio * centred[0], centred[1], atol=0.02)


def test_its_probabilities_are_plausible_on_texts_that_it_has_not_seen(member: NGrams) -> None:
    documents, targets = reviews(2_000, seed=1)
    p = probabilities(member.scores(documents), multi_label=False)
    wrong = np.mean(p.argmax(axis=1) != targets.argmax(axis=1))
    assert abs((1 - p.max(axis=1)).mean() - wrong) < 0.04


def test_several_labels_and_labels_that_all_or_no_row_has() -> None:
    documents, targets = reviews(200)
    table = np.column_stack([targets, np.ones(200), np.zeros(200)])
    scores = fit_ngrams(documents, table, multi_label=True, seed=0).scores(documents)
    p = probabilities(scores, multi_label=True)
    assert np.mean((p[:, :2] > 0.5) == targets) > 0.9
    assert p[:, 2].min() > 0.9
    assert p[:, 3].max() < 0.1


@pytest.mark.parametrize(
    ("documents", "classes"),
    [([document()] * 4, 2), ([document(GOOD)], 2), ([document(GOOD), document(BAD)], 3)],
    ids=["no words", "one document", "a class without a row"],
)
def test_little_to_learn_from(documents: list[Ids], classes: int) -> None:
    targets = np.eye(classes)[[0, 1, 0, 1][: len(documents)]]
    member = fit_ngrams(documents, targets, multi_label=False, seed=0)
    assert np.isfinite(member.scores(documents)).all()
    again = NGrams.from_bytes(
        member.to_bytes(), terms=len(member.keys), n_classes=classes, share=1.0
    )
    np.testing.assert_array_equal(again.scores(documents), member.scores(documents))


def test_held_out_documents_choose_the_share(member: NGrams) -> None:
    documents, targets = reviews(400, seed=4)
    said = member.scores(documents)
    blind = np.random.default_rng(0).normal(size=said.shape)
    knowing = 50.0 * (targets - 0.5)
    chosen = {
        name: choose_share(scores, member, documents, targets, multi_label=False)
        for name, scores in {"blind": blind, "knowing": knowing}.items()
    }
    assert set(chosen.values()) <= set(SHARES)
    assert chosen["blind"] >= 1
    few = choose_share(blind[:2], member, documents[:2], targets[:2], multi_label=False)
    assert abs(few - 0.5) <= 0.25  # two documents say little: near the middle of the prior


def test_the_same_seed_gives_the_same_member() -> None:
    first, second = (fit_ngrams(*reviews(60), multi_label=False, seed=3) for _ in range(2))
    assert first.to_bytes() == second.to_bytes()


def test_with_many_classes_each_has_fewer_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulmfit.stages.fit_ngrams.MOST_WEIGHTS", 12)
    for classes in (2, 4):
        member = fit_ngrams(*reviews(100, classes), multi_label=False, seed=0)
        assert member.weights.size == 12


def test_the_most_frequent_terms_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulmfit.stages.fit_ngrams.MOST_TERMS", 2)
    often, seldom, never = 20, 21, 22
    documents = [np.array(words) for words in ([often, often, seldom], [often], [seldom, often])]
    documents = [*documents, np.array([never])] * 3
    member = fit_ngrams(documents, np.eye(2)[[0, 1, 0, 1] * 3], multi_label=False, seed=0)
    assert member.keys.tolist() == [often, seldom]


def test_of_very_much_text_a_part_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    documents, targets = reviews(300)
    whole = fit_ngrams(documents, targets, multi_label=False, seed=0)
    monkeypatch.setattr("ulmfit.stages.fit_ngrams.MOST_TOKENS", 10 * 50)
    part = fit_ngrams(documents, targets, multi_label=False, seed=0)
    assert len(part.keys) < len(whole.keys)
    found = part.scores(documents).argmax(axis=1)
    assert np.mean(found != targets.argmax(axis=1)) < 0.4
    monkeypatch.setattr("ulmfit.stages.fit_ngrams.MOST_TOKENS", 1)
    assert np.isfinite(fit_ngrams(documents, targets, multi_label=False, seed=0).bias).all()
