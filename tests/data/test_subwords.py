from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest
from tokenizers import Tokenizer as RustTokenizer

from ulmfit.data.rules import SPECIALS
from ulmfit.data.subwords import train_subwords
from ulmfit.errors import InputError, SettingsError

COUNTS = {"▁the": 50, "▁then": 20, "▁there": 20, "▁other": 9, "!": 30, "▁é": 1, "xxmaj": 99, "3": 2}


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_frequent_pieces_are_learned_and_marks_stay_whole(kind: str) -> None:
    model = train_subwords(COUNTS, kind=kind, vocab_size=80, min_freq=2)  # type: ignore[arg-type]
    rust = RustTokenizer(model)
    assert [rust.id_to_token(i) for i in range(len(SPECIALS))] == list(SPECIALS)
    assert rust.encode("▁the").tokens == ["▁the"]
    for mark in SPECIALS:
        assert rust.encode(mark).tokens == [mark]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_rare_characters_are_unknown(kind: str) -> None:
    model = train_subwords(COUNTS, kind=kind, vocab_size=80, min_freq=2)  # type: ignore[arg-type]
    assert 0 in RustTokenizer(model).encode("é").ids
    model = train_subwords(COUNTS, kind=kind, vocab_size=80, min_freq=1)  # type: ignore[arg-type]
    assert 0 not in RustTokenizer(model).encode("é").ids


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_the_model_does_not_depend_on_the_process(kind: str) -> None:
    """The trainers add up in the order of hash tables, which differs from process to process."""
    script = f"""
import random
from tokenizers import Tokenizer
from ulmfit.data.subwords import train_subwords
draw = random.Random(0)
words = ["".join(draw.choices("abcdefghij", k=draw.randint(1, 8))) for _ in range(3000)]
model = train_subwords({{w: draw.randint(1, 50) for w in words}}, kind={kind!r}, vocab_size=500,
                       min_freq=1)
print(Tokenizer(model).to_str())
"""
    first, second = (
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)
        for _ in range(2)
    )
    assert first.stdout == second.stdout
    assert 300 < len(json.loads(first.stdout)["model"]["vocab"]) <= 500


def test_large_counts_are_scaled_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulmfit.data.subwords._TRAINING_SPANS", 1000)
    counts = {span: n * 10**9 for span, n in COUNTS.items()}
    rust = RustTokenizer(train_subwords(counts, kind="bpe", vocab_size=80, min_freq=2))
    assert rust.encode("▁the").tokens == ["▁the"]


def test_many_characters_leave_room_for_pieces() -> None:
    draw = random.Random(1)
    counts = {"".join(chr(0x4E00 + draw.randrange(5000)) for _ in range(3)): 3 for _ in range(4000)}
    counts["▁often"] = 1000
    rust = RustTokenizer(train_subwords(counts, kind="bpe", vocab_size=300, min_freq=1))
    assert rust.get_vocab_size() <= 300
    assert sum(len(token) == 1 for token in rust.get_vocab()) <= 100


def test_too_little_to_learn_from_is_said() -> None:
    with pytest.raises(SettingsError, match="vocab_size = 10: expected 64 or more"):
        train_subwords(COUNTS, kind="bpe", vocab_size=10, min_freq=1)
    with pytest.raises(InputError, match="no text to learn subwords from"):
        train_subwords({"xxmaj": 3}, kind="bpe", vocab_size=100, min_freq=1)
