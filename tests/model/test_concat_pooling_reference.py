"""Running pools, chunk by chunk, against the pools over all hidden states at once."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.reference.concat_pooling import concat_pooling
from tests.reference.project import assert_equal
from ulmfit.model.concat_pooling import empty_pool, join_pools, update_pool

E, CHUNK = 3, 4


def hidden_states(lengths: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(n, E, generator=generator, dtype=torch.float64, requires_grad=True)
        for n in lengths
    ]


def chunk_of(documents: list[Tensor], start: int) -> tuple[Tensor, Tensor]:
    """(B, T, E) with rubbish behind the ends, and the real positions of each row."""
    parts = [document[start : start + CHUNK] for document in documents]
    width = max(len(part) for part in parts)
    rubbish = torch.full((len(parts), width, E), 1e6, dtype=torch.float64)
    for row, part in enumerate(parts):
        rubbish[row, : len(part)] = part
    return rubbish, torch.tensor([len(part) for part in parts])


def test_chunk_by_chunk_equals_all_at_once_with_gradients() -> None:
    documents = hidden_states((11, 10, 9))
    pool = empty_pool(3, E, documents[0])
    for start in range(0, 11, CHUNK):
        pool = update_pool(pool, *chunk_of(documents, start), torch.ones(3, dtype=torch.bool))
    pooled = pool.concat()
    expected = torch.stack([concat_pooling(list(document)) for document in documents])
    assert_equal(pooled, expected)
    weights = torch.linspace(-1, 1, pooled.numel(), dtype=torch.float64).view_as(pooled)
    assert_equal(
        torch.autograd.grad((pooled * weights).sum(), documents),
        torch.autograd.grad((expected * weights).sum(), documents),
    )


def test_a_chunk_outside_the_window_counts_for_no_pool() -> None:
    documents = hidden_states((11, 10, 9))
    pool = empty_pool(3, E, documents[0])
    for start in range(0, 11, CHUNK):
        inside = torch.tensor([start > 0, True, start == 8])
        pool = update_pool(pool, *chunk_of(documents, start), inside)
    kept = [documents[0][4:], documents[1], documents[2][8:]]
    assert_equal(pool.concat(), torch.stack([concat_pooling(list(states)) for states in kept]))


def test_documents_that_join_later_start_empty() -> None:
    long, short = hidden_states((8, 4))
    everything = torch.ones(2, dtype=torch.bool)
    pool = empty_pool(1, E, long)
    pool = update_pool(pool, *chunk_of([long], 0), everything[:1])
    pool = join_pools(pool, 1)
    both = torch.stack([long[4:], short])
    pool = update_pool(pool, both, torch.tensor([4, 4]), everything)
    assert_equal(pool.concat(), torch.stack([concat_pooling(list(x)) for x in (long, short)]))


def test_states_in_half_precision_are_summed_in_that_of_the_pool() -> None:
    # In bfloat16 a sum stays at 256 however many ones are added to it.
    pool = empty_pool(1, E, torch.zeros(1))
    hidden, real = torch.ones(1, 1000, E, dtype=torch.bfloat16), torch.tensor([999])
    pool = update_pool(pool, hidden, real, torch.tensor([True]))
    assert pool.total.tolist() == [[999.0] * E]
