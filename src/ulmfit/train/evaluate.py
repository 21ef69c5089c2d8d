"""Evaluation of models on held-out data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ulmfit.data.batches import length_groups, pad
from ulmfit.data.bptt import BPTTStream
from ulmfit.data.corpus import TokenCorpus, parts_words
from ulmfit.errors import InputError
from ulmfit.model.awd_lstm import detach
from ulmfit.model.bpt3c import Encoder, encode_documents
from ulmfit.model.classifier import TextClassifierModel
from ulmfit.model.language_model import LanguageModel
from ulmfit.model.softmax import summed_nll

# Tokens in one step of evaluation: at 1,150 units, outputs of about 75 MB a layer.
EVAL_TOKENS = 16_384
EVAL_ROWS, EVAL_STEPS = 32, 70
# One document alone goes through the encoder in longer chunks: a third faster than in chunks of 70,
# at 64 units as at 1,150, and 1,024 gain no more. In a group they would be padding.
ALONE_CHUNK = 512

_MAX_EXPONENT = 700.0  # exp(710) is no float any more


@dataclass(frozen=True)
class LMScore:
    """How well a language model predicts a corpus.

    Attributes:
        nll: summed negative log-likelihood, nats.
        n_tokens: predicted tokens.
        n_words: white-space words of the original text that they stand for.
        n_chars: its characters.
    """

    nll: float
    n_tokens: int
    n_words: float
    n_chars: float

    @property
    def perplexity(self) -> float:
        """exp(nats per token); comparable between models of the same vocabulary only."""
        return math.exp(min(_MAX_EXPONENT, self.nll / self.n_tokens))

    @property
    def word_perplexity(self) -> float:
        """exp(nats per white-space word); comparable between vocabularies without xxunk."""
        return math.exp(min(_MAX_EXPONENT, self.nll / self.n_words))

    @property
    def bits_per_char(self) -> float:
        """Bits per character of the original text."""
        return self.nll / self.n_chars / math.log(2)

    def figures(self) -> dict[str, float]:
        """All of them for a model's folder; per word only where spaces part words."""
        parted = parts_words(self.n_words, self.n_chars)
        return {
            "perplexity": self.perplexity,
            **({"word_perplexity": self.word_perplexity} if parted else {}),
            "bits_per_char": self.bits_per_char,
        }


@torch.no_grad()
def score_language_model(
    model: LanguageModel,
    corpus: TokenCorpus,
    *,
    backward: bool,
    max_tokens: int | None = None,
) -> LMScore:
    """Full-softmax likelihood of a corpus, read as one stream.

    Args:
        model: in evaluation mode.
        corpus: held-out tokens.
        backward: whether the model reads from the end.
        max_tokens: stop after about so many.

    Raises:
        InputError: the corpus is too small to predict a token of it.
    """
    if corpus.n_tokens < 2:
        raise InputError(
            f"the held-out text has {corpus.n_tokens} tokens", expected="at least 2 tokens of text"
        )
    rows = max(1, min(EVAL_ROWS, corpus.n_tokens // (2 * EVAL_STEPS)))
    stream = BPTTStream(corpus, rows, EVAL_STEPS, backward=backward, shuffle=False)
    weight, bias = model.encoder.embedding.weight, model.decoder_bias
    state = model.encoder.initial_state(rows)
    nll, n_tokens = 0.0, 0
    for window in stream.epoch(0):
        output = model(torch.from_numpy(window.inputs).to(weight.device), state)
        state = detach(output.state)
        targets = torch.from_numpy(window.targets).to(weight.device).flatten()
        nll += float(summed_nll(output.raw.flatten(0, 1), targets, weight, bias))
        n_tokens += targets.numel()
        if max_tokens is not None and n_tokens >= max_tokens:
            break
    share = n_tokens / corpus.n_tokens
    return LMScore(nll, n_tokens, share * corpus.n_words, share * corpus.n_chars)


def predict_logits(
    model: TextClassifierModel,
    documents: Sequence[NDArray[np.integer]],
    encoder: Encoder | None = None,
) -> NDArray[np.float32]:
    """Scores of documents of any length, in the order given.

    Args:
        model: in evaluation mode.
        documents: word ids, each of at least one token.
        encoder: takes the place of the model's own, such as one in 8 bits.

    Returns:
        (N, C).
    """
    encoder = model.encoder if encoder is None else encoder
    device = model.head.linear1.weight.device
    logits = np.empty((len(documents), model.config.n_classes), dtype=np.float32)
    lengths = np.array([len(document) for document in documents], dtype=np.int64)
    config = model.config
    threads = 1 if encoder.shares_cores else torch.get_num_threads()

    @torch.no_grad()
    def score(rows: NDArray[np.int64]) -> None:
        batch = pad(documents, rows)
        # A pooling window begins with a chunk; without one, chunks of any length pool the same.
        alone = len(rows) == 1 and config.pool_tokens is None
        encoded = encode_documents(
            encoder,
            torch.from_numpy(batch.tokens).to(device),
            torch.from_numpy(batch.lengths).to(device),
            chunk=max(config.chunk, ALONE_CHUNK) if alone else config.chunk,
            pool_tokens=config.pool_tokens,
        )
        logits[rows] = model.head(encoded.pooled).float().cpu().numpy()

    _side_by_side(
        score, length_groups(lengths, EVAL_TOKENS // threads, chunk=config.chunk), threads
    )
    return logits


def _side_by_side(
    score: Callable[[NDArray[np.int64]], None], groups: list[NDArray[np.int64]], threads: int
) -> None:
    """Score groups, with several threads each on one of them."""
    if threads == 1 or len(groups) == 1:
        for rows in groups:
            score(rows)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(score, groups))
    finally:
        torch.set_num_threads(threads)  # new threads begin with what was set last, in any thread
