from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as RustTokenizer

from ulmfit.data import memo
from ulmfit.data.memo import ChunkMemo, encodable
from ulmfit.data.tokenizer import Tokenizer

WORDS = (
    "very",
    "Very",
    "very,",
    "verysmall",
    "a",
    "b",
    "!!!",
    "@-@",
    "<br",
    "/>",
    "xxpad",
    "-",
    "1",
)


@pytest.fixture(scope="module")
def rust() -> RustTokenizer:
    tokenizer = Tokenizer.train([" ".join(WORDS)], min_freq=1)
    return RustTokenizer.from_str(tokenizer.to_json())


def same_as_rust(rust: RustTokenizer, memo: ChunkMemo, texts: Sequence[str]) -> None:
    encoded = memo.encode(texts)
    assert [ids.tolist() for ids in encoded] == [e.ids for e in rust.encode_batch(list(texts))]


texts_of_words = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join), min_size=1, max_size=5
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts_of_words)
@pytest.mark.parametrize("batch_chars", [1, 7, 40])
def test_long_texts_are_cut_where_no_rule_notices(
    rust: RustTokenizer, monkeypatch: pytest.MonkeyPatch, batch_chars: int, texts: list[str]
) -> None:
    monkeypatch.setattr(memo, "BATCH_CHARS", batch_chars)
    same_as_rust(rust, ChunkMemo(rust), texts)


@settings(max_examples=150, deadline=None)
@given(texts_of_words)
def test_rows_of_words_are_found_wherever_they_are(rust: RustTokenizer, texts: list[str]) -> None:
    fresh = ChunkMemo(rust)
    for _ in range(2):  # the second time everything is known
        same_as_rust(rust, fresh, texts)


def test_a_full_table_starts_over(rust: RustTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "MAX_CHUNKS", 3)
    small = ChunkMemo(rust)
    for _ in range(3):
        same_as_rust(rust, small, ["a b very 1", "b a - - -", "a new one"])
        assert len(small._numbering) == 0


def test_long_chunks_do_not_pile_up(rust: RustTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "MAX_CHARS", 100)
    small = ChunkMemo(rust)
    same_as_rust(rust, small, ["ab" * 60])
    assert len(small._numbering) == 0


def test_an_interrupted_call_leaves_no_wrong_ids(
    rust: RustTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ChunkMemo(rust)
    same_as_rust(rust, table, ["a b"])

    def interrupted(chunks: Sequence[str]) -> list[list[int]]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(table, "_encode_chunks", interrupted)
        with pytest.raises(KeyboardInterrupt):
            table.encode(["very new words"])
    same_as_rust(rust, table, ["very new words", "a b"])


def test_a_long_document_takes_little_more_memory_than_its_ids(rust: RustTokenizer) -> None:
    table = ChunkMemo(rust)
    text = "a very, b - 1 verysmall Very " * 100_000  # 0.8 million tokens, 2.9 MB
    table.encode([text[:1000]])
    tracemalloc.start()
    try:
        [ids] = table.encode([text])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(ids) == 1 + 9 * 100_000
    assert peak < 2 * ids.nbytes + 50e6


def test_lone_surrogates_are_replaced_one_by_one() -> None:
    assert encodable("a\ud83d\ude00é") == "a\ufffd\ufffdé"
    assert encodable("plain") == "plain"


def test_ids_belong_to_the_caller(rust: RustTokenizer) -> None:
    table = ChunkMemo(rust)
    [ids] = table.encode(["a b"])
    expected = ids.copy()
    ids[:] = 0
    np.testing.assert_array_equal(table.encode(["a b"])[0], expected)
