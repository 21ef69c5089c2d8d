"""Batches of documents of similar length, so that little is padded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from ulmfit.data.rules import PAD_ID

Ids = NDArray[np.int64]
T = TypeVar("T")

# Documents are sorted by length within pools of so many batches (fastai's SortishSampler: 50).
POOL_BATCHES = 50


@dataclass(frozen=True)
class DocumentBatch:
    """Documents side by side.

    Attributes:
        tokens: word ids, (B, T), padded on the right.
        lengths: real tokens of each row, (B,).
        rows: the documents' positions in the data set, (B,).
        lr_scale: learning rate's factor, always 1.
    """

    tokens: Ids
    lengths: Ids
    rows: Ids
    lr_scale: float = 1.0


class Epoch(Sequence[T]):
    """The batches of an epoch, each made when it is asked for.

    Args:
        n: how many.
        make: the batch at a position from 0 to n - 1.
    """

    def __init__(self, n: int, make: Callable[[int], T]) -> None:
        self._positions, self._make = range(n), make

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self._make(position) for position in self._positions[index]]
        return self._make(self._positions[index])


def pad(documents: Sequence[NDArray[np.integer]], rows: Ids) -> DocumentBatch:
    """Put the documents at `rows` side by side.

    Args:
        documents: word ids of every document, each of at least one token.
        rows: which to take, (B,).
    """
    lengths = np.array([len(documents[row]) for row in rows], dtype=np.int64)
    tokens = np.full((len(rows), int(lengths.max())), PAD_ID, dtype=np.int64)
    for line, row in enumerate(rows):
        tokens[line, : lengths[line]] = documents[row]
    return DocumentBatch(tokens, lengths, np.asarray(rows, dtype=np.int64))


def backwards(documents: Sequence[NDArray[np.integer]]) -> list[NDArray[np.integer]]:
    """Every document from its end to its start, for a backward model."""
    return [document[::-1] for document in documents]


class DocumentBatches:
    """Shuffled training batches, epoch by epoch.

    The batches of an epoch differ by at most one document in size: there is no last batch of one.

    Args:
        documents: word ids of every document.
        batch_size: B, at most so many documents.
        seed: of the order.
        part: (r, N): of batches of N times B documents, every N-th one from the r-th on: what one
            of N processes reads. Each gets a document of every batch, if there are N at all; only
            then may a part have more than B.
        rounds: epochs that read all documents once together, each as many of them as the next.
    """

    def __init__(
        self,
        documents: Sequence[NDArray[np.integer]],
        batch_size: int,
        *,
        seed: int = 0,
        part: tuple[int, int] = (0, 1),
        rounds: int = 1,
    ) -> None:
        self.rounds = rounds
        self.documents, self.batch_size, self.seed = documents, batch_size, seed
        self.part, self.n_parts = part
        self.lengths = np.array([len(document) for document in documents], dtype=np.int64)

    def count(self, epoch: int) -> int:
        """How many batches an epoch has."""
        n_documents = len(self._documents_of(epoch))
        needed = -(-n_documents // (self.batch_size * self.n_parts))
        return max(1, min(needed, n_documents // self.n_parts))

    def _documents_of(self, epoch: int) -> range:
        """Which of a pass's documents, in its order."""
        n, number = len(self.documents), epoch % self.rounds
        return range(n * number // self.rounds, n * (number + 1) // self.rounds)

    def epoch(self, epoch: int) -> Sequence[DocumentBatch]:
        """The batches of one epoch, by position."""
        rng = np.random.default_rng([self.seed, epoch // self.rounds])
        read = self._documents_of(epoch)
        order = rng.permutation(len(self.documents))[read.start : read.stop]
        n_batches = self.count(epoch)
        n_pools = -(-n_batches // POOL_BATCHES)
        pools = [
            pool[np.argsort(self.lengths[pool], kind="stable")]
            for pool in np.array_split(order, n_pools)
        ]
        batches = np.array_split(np.concatenate(pools), n_batches)
        rows = [batches[i][self.part :: self.n_parts] for i in rng.permutation(n_batches)]
        return Epoch(n_batches, lambda i: pad(self.documents, rows[i]))


# Ids of one padded group: 4 Mi of 8 bytes are 32 MB, whatever the documents' lengths.
MAX_GROUP_IDS = 1 << 22


def length_groups(lengths: Ids, max_tokens: int, *, chunk: int, max_rows: int = 512) -> list[Ids]:
    """Group documents of similar length for inference.

    Args:
        lengths: tokens of each document, (N,).
        max_tokens: tokens that a group puts through the encoder in one step of BPT3C.
        chunk: longest step of BPT3C, in tokens.
        max_rows: documents of a group (a short text's cost is overhead: more do not help).

    Returns:
        Positions of each group's documents, longest first; every position once.
    """
    order = np.argsort(-lengths, kind="stable")
    groups: list[Ids] = []
    start = 0
    while start < len(order):
        width = max(1, int(lengths[order[start]]))
        size = min(max_rows, max_tokens // min(width, chunk), MAX_GROUP_IDS // width)
        groups.append(order[start : start + max(1, size)])
        start += max(1, size)
    return groups
