"""The member that counts words: what each word adds, blends, and its file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from tests.stages.word_documents import FILM, GOOD, WORD, document, reviews
from ulmfit.data.rules import SPECIALS
from ulmfit.stages.ensemble import probabilities
from ulmfit.stages.fit_ngrams import fit_ngrams
from ulmfit.stages.ngrams import LANGUAGE_MODELS, WORD_COUNTS, NGrams, blend, keys_of, told_apart

MARK = SPECIALS.index("xxmaj")


@pytest.fixture(scope="module")
def member() -> NGrams:
    return fit_ngrams(*reviews(300), multi_label=False, seed=0)


def test_words_and_neighbours_without_marks() -> None:
    keys, first, second = keys_of(document(GOOD, MARK, FILM))
    assert keys.tolist() == [GOOD, FILM, ((GOOD + 1) << 32) + FILM]
    assert (first.tolist(), second.tolist()) == ([1, 3, 1], [-1, -1, 3])
    assert [len(part) for part in keys_of(document())] == [0, 0, 0]


def test_terms_add_up_to_the_scores(member: NGrams) -> None:
    documents = [document(GOOD, FILM, GOOD, MARK, FILM), document(WORD + 999), document()]
    for each, scores in zip(documents, member.scores(documents), strict=True):
        np.testing.assert_allclose(member.bias + member.terms(each).added.sum(axis=0), scores)
    np.testing.assert_allclose(member.scores(documents)[1:], [member.bias, member.bias])
    assert member.scores([]).shape == (0, 2)


def test_scores_do_not_depend_on_company(member: NGrams) -> None:
    documents, _ = reviews(20, seed=2)
    alone = np.concatenate([member.scores([each]) for each in documents])
    np.testing.assert_array_equal(member.scores(documents), alone)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_blend_can_be_told_apart(member: NGrams, multi_label: bool) -> None:
    member = replace(member, share=0.75)
    documents, _ = reviews(50, seed=3)
    models = np.random.default_rng(0).normal(size=(50, 2))
    scores = blend(models, member, documents, multi_label=multi_label)
    p = probabilities(scores, multi_label=multi_label, temperature=1.7)
    found = told_apart(p, member, documents, 1.7, multi_label=multi_label)
    for name, expected in ((LANGUAGE_MODELS, models), (WORD_COUNTS, member.scores(documents))):
        np.testing.assert_allclose(
            found[name], probabilities(expected, multi_label=multi_label), atol=1e-5
        )


def broken(member: NGrams, **changes: np.ndarray) -> bytes:
    return save({**load(member.to_bytes()), **changes})


def test_a_file_of_another_model_is_refused(member: NGrams) -> None:
    whole, terms = member.to_bytes(), len(member.keys)
    faults = {
        "cut short": b"\xff" * 40,
        "does not fit its contents": whole[:-4],
        "not {'keys'": save({"keys": member.keys}),
        "ascending order": broken(member, keys=member.keys[::-1].copy()),
        "'bias' does not hold finite": broken(member, bias=np.array([np.nan, 0], np.float32)),
        "'idf' does not hold finite": broken(member, idf=member.idf.astype(np.int64)),
    }
    for message, content in faults.items():
        with pytest.raises(ValueError, match=message):
            NGrams.from_bytes(content, terms=terms, n_classes=2, share=1.0)
    with pytest.raises(ValueError, match=r"not \{'keys'"):
        NGrams.from_bytes(whole, terms=terms + 1, n_classes=2, share=1.0)


def test_no_damage_does_more_than_be_refused(member: NGrams) -> None:
    whole, terms = member.to_bytes(), len(member.keys)
    draw = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in draw.integers(min(len(whole), 400), size=draw.integers(1, 4)):
            damaged[place] = draw.integers(256)
        try:
            read = NGrams.from_bytes(bytes(damaged), terms=terms, n_classes=2, share=1.0)
        except ValueError:
            continue
        assert np.isfinite(read.scores([document(GOOD, FILM)])).all()
