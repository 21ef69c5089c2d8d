"""Scores of language models and classifiers, against the slow and obvious way."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests import tiny
from tests.threads import torch_threads
from ulmfit.data.batches import pad
from ulmfit.data.corpus import TokenCorpus
from ulmfit.errors import InputError
from ulmfit.model.awd_lstm import EncoderOutput, State
from ulmfit.model.int8_encoder import Int8Encoder
from ulmfit.model.language_model import LanguageModel
from ulmfit.train import evaluate
from ulmfit.train.evaluate import LMScore, predict_logits, score_language_model

LENGTHS = [40, 3, 1, 77, 12, 150, 9, 30]  # 322 tokens: two rows of 161


def model() -> LanguageModel:
    found = tiny.lm_model()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return found.eval()


@torch.no_grad()
def naive_nll(model: LanguageModel, stream: NDArray[np.int64], n_rows: int) -> tuple[float, int]:
    """Each row word by word, one step at a time."""
    length = len(stream) // n_rows
    total, n = 0.0, 0
    for row in range(n_rows):
        words = stream[row * length : (row + 1) * length]
        state = model.encoder.initial_state(1)
        for word, following in pairwise(words):
            output = model(torch.tensor([[int(word)]]), state)
            state = output.state
            log_p = model.logits(output.raw)[0, 0].double().log_softmax(0)
            total -= float(log_p[int(following)])
            n += 1
    return total, n


@pytest.mark.parametrize("backward", [False, True])
def test_a_language_model_is_scored_word_by_word(backward: bool) -> None:
    corpus = tiny.random_corpus(LENGTHS)
    corpus.n_words, corpus.n_chars = 161, 966
    parts = [corpus.document(i) for i in range(corpus.n_docs)]
    stream = np.concatenate([part[::-1] if backward else part for part in parts])
    language_model = model()
    score = score_language_model(language_model, corpus, backward=backward)
    nll, n = naive_nll(language_model, stream.astype(np.int64), n_rows=2)
    assert score.n_tokens == n == 320
    assert score.nll == pytest.approx(nll, rel=1e-6)
    assert score.perplexity == pytest.approx(math.exp(nll / 320), rel=1e-5)
    # The first words of the two rows are not predicted: they stand for half a word each.
    assert score.n_words == pytest.approx(160)
    assert score.n_chars == pytest.approx(960)
    assert score.word_perplexity == pytest.approx(math.exp(nll / 160), rel=1e-4)
    assert score.bits_per_char == pytest.approx(nll / 960 / math.log(2), rel=1e-4)


def test_a_part_of_a_corpus_is_scored_from_its_start() -> None:
    corpus = tiny.random_corpus([50] * 20)
    corpus.n_words = 500
    language_model = model()
    score = score_language_model(language_model, corpus, backward=False, max_tokens=100)
    rows, steps = 7, 70
    assert score.n_tokens == rows * steps
    assert score.n_words == pytest.approx(rows * steps / 2)
    whole = score_language_model(language_model, corpus, backward=False)
    assert whole.n_tokens == 1000 - rows - 1000 % rows
    assert score.nll < whole.nll


@pytest.mark.parametrize("lengths", [[], [1], [0, 1, 0]])
def test_a_corpus_of_one_token_cannot_be_scored(lengths: list[int]) -> None:
    corpus = tiny.random_corpus(lengths) if lengths else TokenCorpus.from_ids([])
    n = sum(lengths)
    with pytest.raises(InputError) as caught:
        score_language_model(model(), corpus, backward=False)
    assert str(caught.value) == (
        f"the held-out text has {n} tokens: expected at least 2 tokens of text."
    )


def test_two_tokens_are_enough() -> None:
    score = score_language_model(model(), tiny.random_corpus([2]), backward=False)
    assert score.n_tokens == 1


def test_a_hopeless_model_has_a_finite_perplexity() -> None:
    score = LMScore(nll=1e6, n_tokens=10, n_words=5, n_chars=40)
    assert math.isfinite(score.perplexity)
    assert math.isfinite(score.word_perplexity)


def documents() -> list[NDArray[np.int32]]:
    # Around the chunk of 5, one token, and many chunks.
    return tiny.documents([1, 2, 4, 5, 6, 9, 10, 11, 23, 60, 5, 1, 203])


def test_a_document_has_the_same_logits_alone_and_in_any_batch_and_order() -> None:
    classifier = tiny.classifier_model().eval()
    texts = documents()
    together = predict_logits(classifier, texts)
    assert together.shape == (len(texts), 3)
    assert together.dtype == np.float32
    alone = np.concatenate([predict_logits(classifier, [text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5, rtol=0)
    order = list(range(len(texts)))
    random.Random(0).shuffle(order)
    mixed = predict_logits(classifier, [texts[i] for i in order])
    np.testing.assert_allclose(mixed, together[order], atol=1e-5, rtol=0)


def test_groups_of_any_size_give_the_same_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = tiny.classifier_model().eval()
    texts = documents()
    together = predict_logits(classifier, texts)
    for tokens in (1, 12, 40):
        monkeypatch.setattr(evaluate, "EVAL_TOKENS", tokens)
        np.testing.assert_allclose(predict_logits(classifier, texts), together, atol=1e-5, rtol=0)


def test_the_chunk_does_not_matter_where_gradients_are_not_cut() -> None:
    texts = documents()
    logits = [predict_logits(tiny.classifier_model(chunk=n).eval(), texts) for n in (1, 5, 1000)]
    np.testing.assert_allclose(logits[0], logits[2], atol=1e-5, rtol=0)
    np.testing.assert_allclose(logits[1], logits[2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("pool_tokens", [None, 7, 20])
def test_a_document_alone_goes_in_longer_chunks_to_the_same_logits(
    pool_tokens: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = tiny.classifier_model(pool_tokens=pool_tokens).eval()
    found = []
    for chunk in (5, 16, 512):
        monkeypatch.setattr(evaluate, "ALONE_CHUNK", chunk)
        found.append(np.stack([predict_logits(classifier, [text]) for text in documents()]))
    np.testing.assert_allclose(found[1], found[0], atol=1e-5, rtol=0)
    np.testing.assert_allclose(found[2], found[0], atol=1e-5, rtol=0)
    batch = pad(documents(), np.arange(len(documents())))
    with torch.no_grad():
        model_s = classifier(torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths))
    np.testing.assert_allclose(found[2][:, 0], model_s.logits, atol=1e-5, rtol=0)


def test_no_documents_no_logits() -> None:
    assert predict_logits(tiny.classifier_model().eval(), []).shape == (0, 3)


@pytest.fixture
def _small_groups(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(evaluate, "EVAL_TOKENS", 24)
    with torch_threads():
        yield


@pytest.mark.int8
@pytest.mark.usefixtures("_small_groups")
def test_several_threads_give_the_logits_of_one() -> None:
    classifier = tiny.classifier_model().eval()
    encoder = Int8Encoder(classifier.encoder)
    torch.set_num_threads(1)
    alone = predict_logits(classifier, documents(), encoder)
    torch.set_num_threads(3)
    found = predict_logits(classifier, documents(), encoder)
    np.testing.assert_allclose(found, alone, atol=1e-5, rtol=0)
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("_small_groups")
def test_an_error_in_a_thread_comes_through_and_leaves_the_threads_as_they_were() -> None:
    class Broken(Exception):
        pass

    class Encoder:
        config, training, shares_cores = tiny.lm_config(), False, False

        def initial_state(self, batch_size: int) -> State:
            raise Broken

        def __call__(self, tokens: Tensor, state: State) -> EncoderOutput:
            raise Broken

    torch.set_num_threads(2)
    with pytest.raises(Broken):
        predict_logits(tiny.classifier_model().eval(), documents(), Encoder())
    assert torch.get_num_threads() == 2
