"""Perplexity that compares between vocabularies, against a plain loop over every token."""

from __future__ import annotations

import math
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
import torch

from tests import tiny
from ulmfit.config import Direction, LMConfig
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError
from ulmfit.model.language_model import LanguageModel
from ulmfit.stages import lm_score
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.stages.lm_score import CODE_POINTS, Speller, TextScore, document_nll, score_texts


def model_of(vocab_size: int) -> LanguageModel:
    model = tiny.lm_model(vocab_size).eval()
    with torch.no_grad():
        model.encoder.embedding.weight *= 10
        model.decoder_bias.uniform_(-1, 1)
    return model


def slow_nll(model: LanguageModel, stream: list[int]) -> float:
    """One token at a time."""
    state, nll = model.encoder.initial_state(1), 0.0
    for word, following in pairwise(stream):
        with torch.no_grad():
            output = model(torch.tensor([[word]]), state)
        state = output.state
        nll -= float(model.logits(output.raw[0, 0]).log_softmax(0)[following].detach())
    return nll


@pytest.mark.parametrize("backward", [False, True])
def test_every_token_and_every_end_is_predicted_once(backward: bool) -> None:
    model = model_of(50)
    documents = [np.array([2, *ids], dtype=np.int32) for ids in ([5, 6, 7], [8], [9, 10, 11, 12])]
    found = document_nll(model, documents, backward=backward)
    expected = 0.0
    for document in documents:
        ids = document.tolist()
        expected += slow_nll(model, [2, *reversed(ids)] if backward else [*ids, 2])
    assert found == pytest.approx(expected, rel=1e-5)


def test_documents_beyond_the_rows_follow_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(50)
    documents = [np.array([2, 3 + i, 4 + i, 5 + i][: 4 - i], dtype=np.int32) for i in range(3)]
    monkeypatch.setattr(lm_score, "ROWS", 1)
    monkeypatch.setattr(lm_score, "STEPS", 2)
    stream = [word for document in documents for word in document.tolist()]  # the longest first
    found = document_nll(model, documents, backward=False)
    assert found == pytest.approx(slow_nll(model, [*stream, 2]), rel=1e-5)


def language_model(words: Tokenizer, direction: Direction = "forward") -> TrainedLM:
    model = model_of(words.vocab_size)
    config = LMConfig(**model.config.model_dump())
    return TrainedLM(config, direction, words, dict(model.state_dict()))


def total(lm: TrainedLM, texts: list[str]) -> TextScore:
    return reduce(add, score_texts(lm, texts))


def test_the_counts_are_those_of_the_original_text() -> None:
    lm = language_model(tiny.tokenizer())
    score = total(lm, ["The film was great .", "a  ZEBRA, <unk>, sang"])
    assert (score.n_documents, score.n_words) == (2, 9)
    assert score.n_chars == len("The film was great .") + len("a  ZEBRA, <unk>, sang")
    # xxbos xxmaj the film was great . / xxbos a xxup zebra , xxunk , sang
    assert score.n_tokens == 7 + 8
    assert (score.n_unknown, score.n_given) == (5, 1)  # a, zebra, sang and two commas
    assert score.unknown_share == 5 / 15
    assert score.word_perplexity == pytest.approx(math.exp(score.nll / 9))
    assert score.perplexity == pytest.approx(math.exp(score.nll / 15))
    assert score.bits_per_char == pytest.approx(score.nll / score.n_chars / math.log(2))
    speller = Speller(lm.tokenizer)
    spelled = sum(map(speller.cost, ["a", "zebra", ",", ",", "sang"]))
    assert score.spelling == pytest.approx(spelled)
    assert score.spelled_word_perplexity == pytest.approx(math.exp((score.nll + spelled) / 9))
    assert score.spelled_bits_per_char > score.bits_per_char
    assert score.to_dict()["words"] == 9


def test_several_unknown_words_without_a_space_between_are_no_share_above_one() -> None:
    score = total(language_model(tiny.tokenizer()), ["(zebra/ibex) (gnu/okapi)"])
    assert score.parted
    assert score.n_unknown == 10 > score.n_words
    assert score.unknown_share == 10 / 11  # all but xxbos


def test_blank_documents_are_no_documents() -> None:
    lm = language_model(tiny.tokenizer())
    assert total(lm, ["", "The film .", " \n"]) == total(lm, ["The film ."])
    for blank in ([""], ["   "], []):
        with pytest.raises(InputError, match="there is no text to score"):
            total(lm, blank)


def test_groups_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = language_model(tiny.tokenizer(), "backward")
    texts = tiny.labelled_texts(8)[0]
    whole = total(lm, texts)
    monkeypatch.setattr(lm_score, "GROUP_TOKENS", 1)
    done: list[int] = []
    parts = list(score_texts(lm, texts, scored=done.append))
    assert sum(done) == whole.n_tokens
    assert len(parts) == 8
    assert sum(part.nll for part in parts) == pytest.approx(whole.nll, rel=1e-5)
    assert reduce(add, parts).n_words == whole.n_words


def test_spelling_is_a_probability_over_all_words() -> None:
    speller = Speller(Tokenizer.from_words([*tiny.tokenizer().vocab[:16], "ab", "b"]))
    # Counts from the vocabulary: the digits 3 to 9 of xxrep once each, a once, b twice; 9 ends.
    symbols = sum(math.exp(-cost) for cost in speller.costs.values())
    other = math.exp(-speller.other) * CODE_POINTS
    assert symbols + math.exp(-speller.end) + other == pytest.approx(1.0)
    assert math.exp(-speller.costs["b"]) == pytest.approx(3 / 30)
    assert speller.cost("aé") == pytest.approx(speller.costs["a"] + speller.other + speller.end)


def test_subwords_and_words_are_charged_for_the_same_text() -> None:
    texts = tiny.labelled_texts(50)[0]
    subwords = Tokenizer.train(texts, kind="bpe", vocab_size=80, min_freq=1)
    for words in (tiny.tokenizer(), subwords):
        score = total(language_model(words), texts)
        assert score.n_words == sum(len(text.split()) for text in texts)
        assert score.n_unknown == 0
        assert score.spelled_word_perplexity == score.word_perplexity


def test_no_text() -> None:
    with pytest.raises(InputError, match="there is no text to score"):
        total(language_model(tiny.tokenizer()), [])
