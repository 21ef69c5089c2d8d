"""Subword models: byte-pair encoding and unigram, learned from word counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, pre_tokenizers, trainers

from ulmfit.data.rules import COUNTS, SPACE, SPECIALS, UNK_ID
from ulmfit.errors import InputError, SettingsError

MIN_VOCAB: Final = 64
_ALPHABET_SHARE: Final = 0.3  # of the vocabulary at most: Chinese has thousands of characters
_TRAINING_SPANS: Final = 10_000_000  # more are scaled down: only their proportions matter
_LINES: Final = 10_000
# Share of its pieces that the unigram trainer keeps in each round. SentencePiece's 0.75 takes twice
# the time and needs 0.2 % fewer tokens: docs/log.md, "which subwords, and how long do they take?".
_SHRINKING: Final = 0.5


def train_subwords(
    counts: Mapping[str, int],
    *,
    kind: Literal["bpe", "unigram"],
    vocab_size: int,
    min_freq: int,
) -> models.Model:
    """Learns a subword model with the special tokens at ids 0 to 8.

    The same counts give the same model, bit by bit.

    Args:
        counts: span -> occurrences, from `count_words(..., kind=kind)`.
        kind: byte-pair encoding or unigram.
        vocab_size: most tokens, special ones included.
        min_freq: characters seen fewer times are unknown.

    Raises:
        InputError: there is no text to learn from.
        SettingsError: `vocab_size` is too small for the characters.
    """
    if vocab_size < MIN_VOCAB:
        raise SettingsError(f"vocab_size = {vocab_size}", expected=f"{MIN_VOCAB} or more")
    counts = {span: n for span, n in counts.items() if span not in SPECIALS}
    if not counts:
        raise InputError("no text to learn subwords from", expected="at least one word")
    alphabet = _alphabet(counts, int(vocab_size * _ALPHABET_SHARE), min_freq)
    known = {span: n for span, n in counts.items() if alphabet.issuperset(span)}
    return (_train_bpe if kind == "bpe" else _train_unigram)(known, alphabet, vocab_size)


def _train_bpe(counts: Mapping[str, int], alphabet: set[str], vocab_size: int) -> models.Model:
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        show_progress=False,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(alphabet),
    )
    learned = _learn(models.BPE(), trainer, counts)
    return models.BPE(
        vocab=learned["vocab"],
        merges=[tuple(pair) for pair in learned["merges"]],
        unk_token=SPECIALS[UNK_ID],
        fuse_unk=True,
        ignore_merges=True,  # `xxmaj` is a token, although no merges lead to it
    )


def _train_unigram(counts: Mapping[str, int], alphabet: set[str], vocab_size: int) -> models.Model:
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size,
        show_progress=False,
        shrinking_factor=_SHRINKING,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(alphabet),
        unk_token=SPECIALS[UNK_ID],
    )
    pieces = _learn(models.Unigram(), trainer, counts)["vocab"][len(SPECIALS) :]
    # The trainer sums in the order of a hash table: the last digits of the scores vary from run to
    # run. So do the scores of characters that it found useless: the lowest, in steps of 0.0001.
    lowest = min((score for piece, score in pieces if len(piece) > 1), default=-20.0)
    useless = lowest + 0.0001 * (len(alphabet) + 1)
    scores = {
        piece: round(lowest if len(piece) == 1 and score < useless else score, 4)
        for piece, score in pieces
    }
    ordered = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    # A score of 0 is log(1): a mark that stands alone is never cut into pieces.
    return models.Unigram([(mark, 0.0) for mark in SPECIALS] + ordered, unk_id=UNK_ID)


def _learn(
    model: models.Model, trainer: trainers.Trainer, counts: Mapping[str, int]
) -> dict[str, Any]:
    learner = RustTokenizer(model)
    learner.pre_tokenizer = pre_tokenizers.Split("\n", "removed")
    learner.train_from_iterator(_lines(counts), trainer)
    learned: dict[str, Any] = json.loads(learner.to_str())["model"]
    return learned


def _alphabet(counts: Mapping[str, int], size: int, min_freq: int) -> set[str]:
    characters: Counter[str] = Counter()
    for span, n in counts.items():
        for character in span:
            characters[character] += n
    ranked = sorted(characters, key=lambda character: (-characters[character], character))
    kept = [character for character in ranked[:size] if characters[character] >= min_freq]
    return {*kept, *COUNTS, SPACE}


def _lines(counts: Mapping[str, int]) -> Iterator[str]:
    """Every span as often as it was seen, one per line, many lines at a time."""
    scale = min(1.0, _TRAINING_SPANS / sum(counts.values()))
    lines: list[str] = []
    for span, n in counts.items():
        lines.extend([span] * max(1, round(n * scale)))
        if len(lines) > _LINES:
            yield "\n".join(lines)
            lines = []
    yield "\n".join(lines)
