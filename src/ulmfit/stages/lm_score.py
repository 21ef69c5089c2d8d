"""How well a language model predicts text, in numbers that compare between vocabularies.

Perplexity per token says little: a vocabulary of subwords has more tokens to share the same text
among, and one of words calls every hard word `xxunk`, which is easy to predict. So:

* **word perplexity** is exp(NLL / W). NLL is the summed negative log-likelihood of all tokens of
  the documents and of each document's end, also of the marks for capitals and repetitions; W counts
  the white-space separated words of the original text, whatever the tokens are.
* **bits per character** are NLL / (C ln 2), C the characters of the original text.
* **spelled**: the same with NLL + S, where S is the cost of spelling every word that became
  `xxunk`: its lower-case characters and an end, each by its own frequency, -log p(c). So the model
  is charged for all of the text, as a model of subwords is. p counts each entry of the model's own
  vocabulary once (rare words are spelled like entries, not like `the`), plus one for every
  character, for the end, and for "another character", which then is one of Unicode's 1,114,112.
  The result is an upper bound of what a model with a speller of that kind could claim.

A `<unk>` that stands in the text itself (WikiText) is a token like others and is not spelled.
Words lose their spaces in a word vocabulary and keep them in one of subwords: that difference, a
choice between `don't` and `do n't` now and then, is not charged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from ulmfit.config import Dropouts
from ulmfit.data.corpus import parts_words
from ulmfit.data.rules import BOS_ID, PAD_ID, SPACE, SPECIALS, UNK_ID
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError
from ulmfit.model.language_model import LanguageModel
from ulmfit.model.softmax import summed_nll
from ulmfit.stages.lm_folder import TrainedLM

ROWS, STEPS = 32, 70  # documents side by side, tokens at a time
GROUP_TOKENS: Final = 1 << 20  # held at once
CODE_POINTS: Final = 0x110000
_GIVEN: Final = frozenset({"<unk>", "xxunk"})

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class TextScore:
    """What a language model scores on text.

    Attributes:
        nll: of all tokens and document ends, nats.
        spelling: of the characters of unknown words, nats.
        n_documents: documents.
        n_tokens: predicted tokens, document ends among them.
        n_words: white-space words of the original text.
        n_chars: its characters.
        n_unknown: words (with subwords: characters) that became `xxunk`.
        n_given: `<unk>` in the text itself.
    """

    nll: float = 0.0
    spelling: float = 0.0
    n_documents: int = 0
    n_tokens: int = 0
    n_words: int = 0
    n_chars: int = 0
    n_unknown: int = 0
    n_given: int = 0

    def __add__(self, other: TextScore) -> TextScore:
        names = [field.name for field in fields(self)]
        return TextScore(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def perplexity(self) -> float:
        """exp(nats per token)."""
        return _exp(self.nll / self.n_tokens)

    @property
    def word_perplexity(self) -> float:
        """exp(nats per white-space word), unknown words for the price of `xxunk`."""
        return _exp(self.nll / self.n_words)

    @property
    def spelled_word_perplexity(self) -> float:
        """The same with unknown words spelled: compares between vocabularies."""
        return _exp((self.nll + self.spelling) / self.n_words)

    @property
    def bits_per_char(self) -> float:
        """Bits per character, unknown words for the price of `xxunk`."""
        return self.nll / self.n_chars / math.log(2)

    @property
    def spelled_bits_per_char(self) -> float:
        """The same with unknown words spelled."""
        return (self.nll + self.spelling) / self.n_chars / math.log(2)

    @property
    def unknown_share(self) -> float:
        """Of the tokens, those that became `xxunk`: 0 to 1; a word can hold several."""
        return self.n_unknown / self.n_tokens

    @property
    def parted(self) -> bool:
        """Whether there are spaces between words, without which figures per word say nothing."""
        return parts_words(self.n_words, self.n_chars)

    def to_dict(self) -> dict[str, Any]:
        """Figures for JSON; per word only where there are words."""
        per_word = {}
        if self.parted:
            per_word["word_perplexity"] = self.word_perplexity
            per_word["spelled_word_perplexity"] = self.spelled_word_perplexity
        return {
            "perplexity": self.perplexity,
            **per_word,
            "bits_per_char": self.bits_per_char,
            "spelled_bits_per_char": self.spelled_bits_per_char,
            "unknown_share": self.unknown_share,
            "documents": self.n_documents,
            "tokens": self.n_tokens,
            "words": self.n_words,
            "chars": self.n_chars,
            "unk_in_text": self.n_given,
        }


def _unwatched(n_tokens: int) -> None:
    """Nobody looks on."""


def score_texts(
    lm: TrainedLM,
    texts: Iterable[str],
    device: torch.device | str = "cpu",
    scored: Callable[[int], None] = _unwatched,
) -> Iterator[TextScore]:
    """Score documents group by group; the sum of what comes is the score of all.

    Args:
        lm: language model.
        texts: documents; read once, and held a group of about a million tokens at a time.
        device: where to compute.
        scored: told of every so many tokens that are done.

    Raises:
        InputError: there is no text at all.
    """
    model = lm.model(Dropouts()).to(device).eval()
    speller = Speller(lm.tokenizer)
    found = False
    for group in _groups(texts, lm.tokenizer):
        found = True
        documents = [ids for _, ids in group]
        backward = lm.direction == "backward"
        score = TextScore(
            nll=document_nll(model, documents, backward=backward, scored=scored),
            n_documents=len(group),
            n_tokens=sum(map(len, documents)),
            n_words=sum(len(text.split()) for text, _ in group),
            n_chars=sum(len(text) for text, _ in group),
        )
        for text, ids in group:
            if (ids == UNK_ID).any():
                score += speller.unknown_in(text)
        yield score
    if not found:
        raise InputError("there is no text to score", expected="at least one document")


@torch.no_grad()
def document_nll(
    model: LanguageModel,
    documents: Sequence[Ids],
    *,
    backward: bool,
    scored: Callable[[int], None] = _unwatched,
) -> float:
    """Summed negative log-likelihood in nats of every token of every document, and of its end.

    Documents are read one after another in up to 32 rows, which begin with `xxbos` and carry their
    state on, as in training: each document of T ids (`xxbos` among them) is T predictions, the last
    one that of the next `xxbos`.

    Args:
        model: in evaluation mode.
        documents: ids with `xxbos` first.
        backward: read each from its end.
        scored: told of every so many tokens that are done.
    """
    rows = _rows(documents, backward=backward)
    device = model.decoder_bias.device
    length = max(map(len, rows))
    padded = np.full((len(rows), length), PAD_ID, dtype=np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    lengths = torch.tensor([len(row) - 1 for row in rows], device=device)
    ids = torch.from_numpy(padded).to(device)
    state, nll = model.encoder.initial_state(len(rows)), 0.0
    weight, bias = model.encoder.embedding.weight, model.decoder_bias
    for start in range(0, length - 1, STEPS):
        end = min(start + STEPS, length - 1)
        output = model(ids[:, start:end], state)
        state = output.state
        inside = torch.arange(start, end, device=device) < lengths.unsqueeze(1)
        targets = ids[:, start + 1 : end + 1][inside]
        nll += float(summed_nll(output.raw[inside], targets, weight, bias))
        scored(targets.numel())
    return nll


def _rows(documents: Sequence[Ids], *, backward: bool) -> list[Ids]:
    """Documents in rows of about the same length, each begun and ended by `xxbos`.

    Backward, a document is read from its last token to its `xxbos`, which is the start of the next.
    """
    n_rows = min(ROWS, len(documents))
    parts: list[list[Ids]] = [[] for _ in range(n_rows)]
    loads = [0] * n_rows
    for i in sorted(range(len(documents)), key=lambda i: -len(documents[i])):
        row = loads.index(min(loads))
        parts[row].append(documents[i])
        loads[row] += len(documents[i])
    bos = np.array([BOS_ID], dtype=np.int32)
    if backward:
        return [np.concatenate([bos, *(ids[::-1] for ids in row)]) for row in parts]
    return [np.concatenate([*row, bos]) for row in parts]


class Speller:
    """Cost of the words that a vocabulary does not have; see the top of the file.

    Args:
        tokenizer: the vocabulary, whose entries give the frequencies of characters.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        entries = [word.replace(SPACE, "") for word in tokenizer.vocab if word not in SPECIALS]
        counts = Counter(character for word in entries for character in word)
        total = counts.total() + len(entries) + len(counts) + 2  # add one: the end, another one
        self.costs = {c: -math.log((n + 1) / total) for c, n in counts.items()}
        self.end = -math.log((len(entries) + 1) / total)
        self.other = math.log(total) + math.log(CODE_POINTS)

    def cost(self, word: str) -> float:
        """Nats for the characters of a word and its end."""
        return sum(self.costs.get(character, self.other) for character in word) + self.end

    def unknown_in(self, text: str) -> TextScore:
        """Number and cost of the unknown words of a document."""
        spaced = _spaced(text)
        encoded = self.tokenizer.encode_with_offsets(spaced)
        words = [
            spaced[start:end].strip().lower()
            for token, (start, end) in zip(encoded.ids, encoded.offsets, strict=True)
            if token == UNK_ID
        ]
        unknown = [word for word in words if word not in _GIVEN]
        return TextScore(
            spelling=sum(map(self.cost, unknown)),
            n_unknown=len(unknown),
            n_given=len(words) - len(unknown),
        )


def _groups(texts: Iterable[str], tokenizer: Tokenizer) -> Iterator[list[tuple[str, Ids]]]:
    """Documents that are not blank, with their ids: about `GROUP_TOKENS` tokens each time."""
    group: list[tuple[str, Ids]] = []
    n_tokens = 0
    for text in filter(str.strip, texts):
        group.append((text, tokenizer.encode(_spaced(text))))
        n_tokens += len(group[-1][1])
        if n_tokens >= GROUP_TOKENS:
            yield group
            group, n_tokens = [], 0
    if group:
        yield group


def _spaced(text: str) -> str:
    """`<unk>,` as `<unk> ,`: only what stands alone is the mark for an unknown word."""
    return text.replace("<unk>", " <unk> ") if "<unk>" in text else text


def _exp(nats: float) -> float:
    return math.exp(min(nats, 700.0))  # exp(710) is no float any more
