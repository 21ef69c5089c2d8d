from __future__ import annotations

from collections import Counter

import pytest

from ulmfit.data import vocab
from ulmfit.data.rules import COUNTS, SPECIALS
from ulmfit.data.vocab import build_vocab, count_words, merge_vocab
from ulmfit.errors import SettingsError

FIXED = [*SPECIALS, *COUNTS]


def test_words_are_counted_after_all_rules() -> None:
    counts = count_words(["Don't!", "do<br />DON'T &amp;", ""])
    assert counts == Counter(
        {"do": 3, "n't": 2, "xxmaj": 1, "xxup": 1, "!": 1, "&": 1},
    )


def test_subword_spans_keep_their_space() -> None:
    assert count_words(["Good, good"], kind="bpe") == Counter(
        {"▁good": 2, "xxmaj": 1, ",": 1},
    )


def test_counting_in_parts_counts_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"word{i % 50} Other{i % 7} the" for i in range(300)]
    whole = count_words(texts)
    monkeypatch.setattr(vocab, "_MAX_CHUNKS", 10)
    monkeypatch.setattr(vocab, "_JOINED", 3)
    assert count_words(texts) == whole
    assert whole["the"] == 300


def test_words_seen_once_are_forgotten_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vocab, "_MAX_CHUNKS", 50)
    monkeypatch.setattr(vocab, "MAX_COUNTED", 200)
    texts = [f"often rare{i}" for i in range(1000)]
    counts = count_words(texts)
    assert counts["often"] == 1000
    assert len(counts) < 300


def test_lone_surrogates_are_counted_as_unknown_characters() -> None:
    assert count_words(["a\ud800 b"]) == Counter({"a": 1, "\ufffd": 1, "b": 1})


def test_the_vocabulary_is_ordered_by_frequency_then_alphabet() -> None:
    counts = {"b": 2, "a": 2, "c": 5, "d": 1, "xxmaj": 9, "3": 7}
    assert build_vocab(counts, max_size=100, min_freq=2) == [*FIXED, "c", "a", "b"]
    assert build_vocab(counts, max_size=len(FIXED) + 1, min_freq=1) == [*FIXED, "c"]


def test_a_vocabulary_without_room_for_words_is_refused() -> None:
    with pytest.raises(SettingsError, match=f"vocab_size = {len(FIXED)}: expected more than"):
        build_vocab({"a": 1}, max_size=len(FIXED), min_freq=1)
    with pytest.raises(SettingsError, match="min_freq = 0: expected 1 or more"):
        build_vocab({"a": 1}, max_size=100, min_freq=0)


def test_merging_keeps_the_ids_of_the_base() -> None:
    assert merge_vocab(["x", "b"], ["a", "b", "c"]) == ["x", "b", "a", "c"]
    assert merge_vocab(["x", "b"], ["a", "b", "c"], max_size=3) == ["x", "b", "a"]
    assert merge_vocab(["x", "b"], ["a"], max_size=1) == ["x", "b"]
