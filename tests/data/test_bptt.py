"""The token stream: every word is learnt once an epoch, and a window costs what it holds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ulmfit.data.bptt import BPTTStream, Window
from ulmfit.data.corpus import TokenCorpus

Ids = NDArray[np.int64]

lengths = st.lists(st.integers(0, 30), min_size=1, max_size=25).filter(lambda n: sum(n) >= 2)


def numbered(document_lengths: list[int]) -> TokenCorpus:
    """Documents in which every token is another number: 0, 1, 2, ..."""
    ends = np.cumsum(document_lengths)
    sizes = zip(ends, document_lengths, strict=True)
    parts = [np.arange(end - n, end, dtype=np.int32) for end, n in sizes]
    return TokenCorpus.from_ids(parts)


def naive_rows(corpus: TokenCorpus, order: list[int], batch_size: int, backward: bool) -> Ids:
    """The documents in an order, joined and cut into rows, the slow and obvious way."""
    parts = [corpus.document(i)[::-1] if backward else corpus.document(i) for i in order]
    stream = np.concatenate(parts).astype(np.int64)
    length = len(stream) // batch_size
    return stream[: batch_size * length].reshape(batch_size, length)


def joined(windows: list[Window]) -> tuple[Ids, Ids]:
    inputs = np.concatenate([window.inputs for window in windows], axis=1)
    return inputs, np.concatenate([window.targets for window in windows], axis=1)


@given(lengths, st.integers(1, 6), st.integers(2, 12), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_windows_are_those_of_the_naive_stream(
    document_lengths: list[int],
    batch_size: int,
    bptt: int,
    backward: bool,
    vary: bool,
    shuffle: bool,
) -> None:
    corpus = numbered(document_lengths)
    batch_size = min(batch_size, corpus.n_tokens // 2)
    stream = BPTTStream(
        corpus, batch_size, bptt, backward=backward, vary=vary, shuffle=shuffle, seed=3
    )
    for epoch in (0, 1):
        rng = np.random.default_rng([3, epoch])
        n_docs = corpus.n_docs
        order = rng.permutation(n_docs).tolist() if shuffle else list(range(n_docs))
        rows = naive_rows(corpus, order, batch_size, backward)
        inputs, targets = joined(list(stream.epoch(epoch)))
        np.testing.assert_array_equal(inputs, rows[:, :-1])
        np.testing.assert_array_equal(targets, rows[:, 1:])


@given(lengths, st.integers(1, 6), st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_every_token_but_the_first_of_a_row_is_a_target_once(
    document_lengths: list[int], batch_size: int, backward: bool, vary: bool
) -> None:
    corpus = numbered(document_lengths)
    batch_size = min(batch_size, corpus.n_tokens // 2)
    windows = list(BPTTStream(corpus, batch_size, 7, backward=backward, vary=vary).epoch(0))
    _, targets = joined(windows)
    learnt = targets.flatten().tolist()
    assert len(learnt) == len(set(learnt))
    firsts = windows[0].inputs[:, 0].tolist()
    assert not set(firsts) & set(learnt)
    # What is left over does not fill a column of the batch.
    assert 0 <= corpus.n_tokens - len(learnt) - len(firsts) < batch_size


def test_a_backward_stream_reads_each_document_from_its_end() -> None:
    corpus = numbered([3, 4, 2])
    stream = BPTTStream(corpus, 1, 20, backward=True, shuffle=False)
    window = stream.epoch(0)[0]
    assert [*window.inputs[0], window.targets[0, -1]] == [2, 1, 0, 6, 5, 4, 3, 8, 7]


def test_each_epoch_has_an_order_of_its_own_and_each_run_the_same() -> None:
    corpus = numbered([5] * 30)

    def words(seed: int, epoch: int, backward: bool = False) -> list[int]:
        stream = BPTTStream(corpus, 1, 150, seed=seed, backward=backward)
        window = stream.epoch(epoch)[0]
        return [*window.inputs[0].tolist(), int(window.targets[0, -1])]

    first = words(0, 0)
    assert sorted(first) == list(range(150))
    assert words(0, 0) == first
    assert words(0, 1) != first
    assert words(1, 0) != first
    # Whole documents change places; both directions read them in the same order.
    assert all(b == a + 1 for a, b in pairwise(first) if a % 5 != 4)
    assert [w // 5 for w in words(0, 0, backward=True)] == [w // 5 for w in first]


def test_without_shuffling_documents_stay_in_order() -> None:
    stream = BPTTStream(numbered([4] * 5), 1, 100, shuffle=False)
    assert stream.epoch(3)[0].inputs[0].tolist() == list(range(19))


def test_state_can_be_carried_from_row_to_row() -> None:
    windows = BPTTStream(numbered([50, 51]), 3, 5, shuffle=False).epoch(0)
    for before, after in pairwise(windows):
        np.testing.assert_array_equal(before.targets[:, -1], after.inputs[:, 0])


def test_fixed_windows_are_of_one_length_but_for_the_last() -> None:
    windows = list(BPTTStream(numbered([100]), 4, 7).epoch(0))
    assert [window.inputs.shape for window in windows] == [(4, 7), (4, 7), (4, 7), (4, 3)]
    assert all(window.inputs.shape == window.targets.shape for window in windows)
    assert {window.lr_scale for window in windows} == {1.0}


def test_varying_windows_are_normal_around_the_mean_and_sometimes_half() -> None:
    windows = BPTTStream(numbered([400_000]), 2, 70, vary=True).epoch(0)
    sizes = np.array([window.inputs.shape[1] for window in windows])
    assert sizes.sum() == 200_000 - 1
    sizes = sizes[:-1]
    assert sizes.min() >= 5
    short = sizes < 52  # 35 and 70 are 3.5 standard deviations from here
    assert short.mean() == pytest.approx(0.05, abs=0.012)
    # Lengths are rounded down, so that the means are half a step lower.
    assert sizes[~short].mean() == pytest.approx(69.5, abs=0.4)
    assert sizes[~short].std() == pytest.approx(5, abs=0.3)
    assert sizes[short].mean() == pytest.approx(34.5, abs=1.5)
    for window in list(windows)[:20]:
        assert window.lr_scale == window.inputs.shape[1] / 70


def test_no_window_is_empty_wherever_the_row_ends() -> None:
    for n_tokens in range(20, 120):
        for window in BPTTStream(numbered([n_tokens]), 1, 7, vary=True).epoch(0):
            assert window.inputs.shape[1] > 0


def test_lengths_vary_with_the_epoch() -> None:
    stream = BPTTStream(numbered([3000]), 2, 20, vary=True)
    first, again, second = ([w.inputs.shape[1] for w in stream.epoch(e)] for e in (0, 0, 1))
    assert first == again != second


def test_windows_can_be_asked_for_as_in_any_sequence() -> None:
    windows = BPTTStream(numbered([100]), 2, 7).epoch(0)
    assert len(windows) == 7
    np.testing.assert_array_equal(windows[-1].inputs, windows[6].inputs)
    assert [w.inputs[0, 0] for w in windows[2:4]] == [14, 21]
    with pytest.raises(IndexError):
        windows[7]
    with pytest.raises(IndexError):
        windows[-8]


@given(st.integers(1, 3), st.integers(1, 4), st.booleans(), st.booleans())
@settings(max_examples=30, deadline=None)
def test_parts_are_the_rows_of_the_whole_stream(
    batch_size: int, n_parts: int, backward: bool, vary: bool
) -> None:
    corpus = numbered([7, 30, 1, 12, 25])

    def stream(rows: int, part: tuple[int, int]) -> BPTTStream:
        return BPTTStream(corpus, rows, 6, backward=backward, vary=vary, seed=3, part=part)

    whole = stream(n_parts * batch_size, (0, 1)).epoch(2)
    parts = [stream(batch_size, (number, n_parts)).epoch(2) for number in range(n_parts)]
    for index, window in enumerate(whole):
        assert [len(part) for part in parts] == [len(whole)] * n_parts
        own = [part[index] for part in parts]
        assert (np.concatenate([part.inputs for part in own]) == window.inputs).all()
        assert (np.concatenate([part.targets for part in own]) == window.targets).all()
        assert {part.lr_scale for part in own} == {window.lr_scale}


def test_too_few_tokens_for_the_parts() -> None:
    with pytest.raises(ValueError, match="7 tokens do not fill 4 rows of at least 2 tokens"):
        BPTTStream(numbered([7]), 2, 5, part=(1, 2))


def test_too_few_tokens_for_the_rows() -> None:
    with pytest.raises(ValueError, match="7 tokens do not fill 4 rows of at least 2 tokens"):
        BPTTStream(numbered([7]), 4, 5)


class CountingIds:
    """Ids that count how many of them are read."""

    def __init__(self, ids: NDArray[Any]) -> None:
        self.ids, self.n_read = ids, 0

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: Ids) -> NDArray[Any]:
        self.n_read += index.size
        found: NDArray[Any] = self.ids[index]
        return found


@pytest.mark.parametrize("n_docs", [20, 2_000])
def test_a_window_reads_what_it_holds_whatever_the_corpus(n_docs: int) -> None:
    corpus = numbered([50] * n_docs)
    counting = CountingIds(corpus.ids)
    corpus.ids = counting  # type: ignore[assignment]
    windows = BPTTStream(corpus, 4, 10, vary=True).epoch(0)
    assert counting.n_read == 0  # an epoch begins without reading the corpus
    for position in (len(windows) - 2, 0, len(windows) // 2):
        before = counting.n_read
        window = windows[position]
        assert counting.n_read - before == 4 * (window.inputs.shape[1] + 1)


def test_ids_of_any_width_come_out_as_64_bits() -> None:
    for dtype in (np.uint16, np.int32):
        corpus = TokenCorpus.from_ids([np.array([65_535 % 40_000, 2, 3], dtype=dtype)])
        window = BPTTStream(corpus, 1, 5).epoch(0)[0]
        assert window.inputs.dtype == window.targets.dtype == np.int64


def test_windows_are_counted_without_being_made() -> None:
    for vary in (False, True):
        for n_tokens in (8, 57, 1003):
            stream = BPTTStream(numbered([n_tokens - 5, 5]), 4, 7, vary=vary, seed=3)
            assert [stream.count(epoch) for epoch in range(4)] == [
                len(stream.epoch(epoch)) for epoch in range(4)
            ]
