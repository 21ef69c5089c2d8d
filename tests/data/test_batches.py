"""Batches of documents: everybody once, nobody alone, little padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ulmfit.data.batches import (
    MAX_GROUP_IDS,
    POOL_BATCHES,
    DocumentBatches,
    backwards,
    length_groups,
    pad,
)
from ulmfit.data.rules import PAD_ID


def documents(lengths: list[int]) -> list[NDArray[np.int32]]:
    """The first token tells which document it is."""
    return [np.full(n, row + 10, dtype=np.int32) for row, n in enumerate(lengths)]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60), st.integers(1, 9), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_parts_are_those_of_larger_batches(
    lengths: list[int], batch_size: int, n_parts: int
) -> None:
    texts = documents(lengths)
    parts = [DocumentBatches(texts, batch_size, part=(r, n_parts)) for r in range(n_parts)]
    assert len({part.count(0) for part in parts}) == 1
    if len(lengths) < n_parts:
        return  # refused by the stage
    seen: list[int] = []
    for batches in zip(*(part.epoch(1) for part in parts), strict=True):
        sizes = [len(batch.rows) for batch in batches]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1
        seen += [row for batch in batches for row in batch.rows.tolist()]
    assert sorted(seen) == list(range(len(lengths)))
    whole = DocumentBatches(texts, n_parts * batch_size)
    if parts[0].count(1) == whole.count(1):
        for batches in zip(whole.epoch(1), *(part.epoch(1) for part in parts), strict=True):
            assert {*batches[0].rows} == {row for batch in batches[1:] for row in batch.rows}


def test_padding() -> None:
    texts = [np.array([5, 6, 7], dtype=np.uint16), np.array([8], dtype=np.uint16)]
    batch = pad(texts, np.array([1, 0, 1]))
    assert batch.tokens.tolist() == [[8, PAD_ID, PAD_ID], [5, 6, 7], [8, PAD_ID, PAD_ID]]
    assert batch.lengths.tolist() == [1, 3, 1]
    assert batch.rows.tolist() == [1, 0, 1]
    assert batch.tokens.dtype == batch.lengths.dtype == batch.rows.dtype == np.int64
    assert batch.lr_scale == 1.0


def test_backwards() -> None:
    texts = documents([3, 1])
    texts[0][:] = [1, 2, 3]
    turned = backwards(texts)
    assert [text.tolist() for text in turned] == [[3, 2, 1], [11]]
    assert texts[0].tolist() == [1, 2, 3]


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=400), st.integers(1, 70), st.integers(0, 3)
)
@settings(max_examples=150, deadline=None)
def test_an_epoch_has_every_document_once(lengths: list[int], batch_size: int, epoch: int) -> None:
    batches = DocumentBatches(documents(lengths), batch_size, seed=1).epoch(epoch)
    sizes = [len(batch.rows) for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-len(lengths) // batch_size)
    if len(lengths) > 1 and batch_size > 2:
        assert min(sizes) > 1
    rows = np.concatenate([batch.rows for batch in batches])
    assert sorted(rows.tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert batch.lengths.tolist() == [lengths[row] for row in batch.rows]
        assert (batch.tokens[:, 0] == batch.rows + 10).all()


def test_each_epoch_is_drawn_anew_and_each_run_the_same() -> None:
    texts = documents([3, 1, 4, 1, 5, 9, 2, 6] * 10)

    def rows(seed: int, epoch: int) -> list[list[int]]:
        batches = DocumentBatches(texts, 16, seed=seed).epoch(epoch)
        return [batch.rows.tolist() for batch in batches]

    assert rows(0, 0) == rows(0, 0)
    assert rows(0, 1) != rows(0, 0)
    assert rows(1, 0) != rows(0, 0)


def test_documents_of_a_batch_are_alike_in_length_and_batches_are_not_in_order() -> None:
    lengths = np.random.default_rng(0).integers(1, 1000, 64 * 20).tolist()
    batches = DocumentBatches(documents(lengths), 64).epoch(0)
    padded = sum(batch.tokens.size for batch in batches)
    assert padded < 1.1 * sum(lengths)
    means = [batch.lengths.mean() for batch in batches]
    assert means != sorted(means)


def test_a_large_set_is_sorted_in_parts_only() -> None:
    # Else the batches of every epoch would be made of the same documents.
    n = POOL_BATCHES * 4 * 4
    texts = documents([1 + row % 97 for row in range(n)])
    batches = DocumentBatches(texts, 4)
    companions = []
    for epoch in (0, 1):
        of_row: dict[int, set[int]] = {}
        for batch in batches.epoch(epoch):
            of_row |= {int(row): set(batch.rows.tolist()) for row in batch.rows}
        companions.append(of_row)
    same = sum(companions[0][row] == companions[1][row] for row in range(n))
    assert same < n / 20


def test_batches_can_be_asked_for_as_in_any_sequence() -> None:
    batches = DocumentBatches(documents([1] * 10), 3).epoch(0)
    assert len(batches) == 4
    assert batches[-1].rows.tolist() == batches[3].rows.tolist()
    assert [b.rows.tolist() for b in batches[1:3]] == [b.rows.tolist() for b in list(batches)[1:3]]
    with pytest.raises(IndexError):
        batches[4]


@given(
    st.lists(st.integers(1, 5000), max_size=200),
    st.integers(1, 20_000),
    st.integers(1, 100),
    st.integers(1, 50),
)
@settings(max_examples=150, deadline=None)
def test_groups_for_inference(
    lengths: list[int], max_tokens: int, chunk: int, max_rows: int
) -> None:
    found = length_groups(
        np.array(lengths, dtype=np.int64), max_tokens, chunk=chunk, max_rows=max_rows
    )
    positions = [int(row) for group in found for row in group]
    assert sorted(positions) == list(range(len(lengths)))
    in_order = [lengths[row] for row in positions]
    assert in_order == sorted(lengths, reverse=True)
    for group in found:
        widest = max(lengths[row] for row in group)
        assert len(group) <= max_rows
        assert len(group) == 1 or len(group) * min(widest, chunk) <= max_tokens


def test_equal_lengths_stay_in_the_order_given() -> None:
    found = length_groups(np.array([2, 3, 2, 3, 2]), 1000, chunk=10)
    assert np.concatenate(found).tolist() == [1, 3, 0, 2, 4]


def test_a_very_long_document_has_few_others_beside_it() -> None:
    # Its padded group would take 8 bytes for each of them at each of its tokens.
    lengths = np.array([1_000_000] + [50] * 600)
    found = length_groups(lengths, 16_384, chunk=70)
    for group in found:
        assert len(group) * int(lengths[group].max()) <= MAX_GROUP_IDS
    assert 0 in found[0]
    assert len(found[0]) <= 4
    assert len(length_groups(np.array([10**8, 10**8]), 16_384, chunk=70)) == 2


@pytest.mark.parametrize("rounds", [1, 3, 7])
def test_the_rounds_of_a_pass_have_every_document_once(rounds: int) -> None:
    documents = [np.full(1 + i % 9, 4, dtype=np.int32) for i in range(47)]
    batches = DocumentBatches(documents, 5, rounds=rounds)
    passes = []
    for number in range(2):
        epochs = [batches.epoch(number * rounds + i) for i in range(rounds)]
        sizes = [sum(len(batch.rows) for batch in epoch) for epoch in epochs]
        assert max(sizes) - min(sizes) <= 1
        rows = [row for epoch in epochs for batch in epoch for row in batch.rows.tolist()]
        assert sorted(rows) == list(range(47))
        passes.append(rows)
    assert passes[0] != passes[1]


def test_batches_are_counted_without_being_made() -> None:
    for n, size in ((1, 4), (8, 4), (9, 4), (100, 64)):
        batches = DocumentBatches(documents([3] * n), size)
        assert [batches.count(epoch) for epoch in range(3)] == [
            len(batches.epoch(epoch)) for epoch in range(3)
        ]
