from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from tests.displays import Notes
from ulmfit.apps.corpus_parts import (
    require_enough,
    training_parts,
    unknown_share_of,
    warn_of_unknown_words,
    watched,
)
from ulmfit.data.corpus import TokenCorpus
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError

TEXTS = [f"text number {i}" for i in range(400)]


def opened(texts: Iterable[str]) -> Callable[[], Iterable[str]]:
    return lambda: iter(list(texts))


def test_held_out_text_is_a_share_of_the_documents() -> None:
    train, valid = (list(part()) for part in training_parts(opened(TEXTS), None, 0.1))
    assert sorted(train + valid) == sorted(TEXTS)
    assert 20 <= len(valid) <= 60


def test_given_held_out_text_is_not_trained_on() -> None:
    train, valid = training_parts(
        opened(TEXTS), opened(["another", *(f"{text} \r\n" for text in TEXTS[:100])]), 0.1
    )
    assert list(train()) == TEXTS[100:]
    assert list(train()) == TEXTS[100:]  # as often as wanted
    assert len(list(valid())) == 101


def test_reading_is_reported_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    assert list(watched(opened(TEXTS), notes, "reading")()) == TEXTS
    assert notes.lines == []
    monkeypatch.setattr("ulmfit.apps.corpus_parts.NOTE_SECONDS", 0.0)
    assert list(watched(opened(["a b", "c d e"]), notes, "reading", 8)()) == ["a b", "c d e"]
    assert notes.lines == ["reading: 3 of 8 characters", "reading: 8 of 8 characters"]


def corpus(n: int) -> TokenCorpus:
    return TokenCorpus.from_ids([np.full(n, 9, dtype=np.int32)])


@pytest.mark.parametrize(
    ("train", "valid", "given", "hint"),
    [
        (100, 500, False, "Give more text."),
        (0, 500, True, "what is in --valid too is not trained on"),
        (5000, 100, False, "--set pretrain.valid_fraction=0.1. A text that is one document"),
        (5000, 100, True, "Give more held-out text."),
    ],
)
def test_too_little_of_either_part_is_told(train: int, valid: int, given: bool, hint: str) -> None:
    with pytest.raises(InputError, match=r"expected at least 200 of each") as refused:
        require_enough(corpus(train), corpus(valid), given=given)
    assert hint in str(refused.value)
    require_enough(corpus(200), corpus(200), given=given)


def test_a_text_of_other_words_is_told() -> None:
    english = Tokenizer.train(["the film was good and the play was bad"], min_freq=1)
    german = "der Film war gut und das Spiel war schlecht"
    both = english.with_vocab([*english.vocab, *sorted(set(german.split()))])
    same = TokenCorpus.from_ids([english.encode("the film was good")])
    other = TokenCorpus.from_ids([english.encode(german)])
    joined = TokenCorpus.from_ids([both.encode(german)])
    assert unknown_share_of(same, english.vocab) == 0.0
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warn_of_unknown_words(same, english)
        assert told == []
        warn_of_unknown_words(other, english)
        warn_of_unknown_words(joined, both, english.vocab)
    lines = [str(warning.message) for warning in told]
    assert len(lines) == 2
    assert all(line.startswith("the language model does not know ") for line in lines)
