"""Windows of a token stream for truncated backpropagation through time (BPTT).

The stream is the corpus's documents one after another, in an order drawn for each epoch, cut in B
rows of equal length that are read side by side. A window is computed from its position alone: cost
per token does not depend on the corpus's size, and training can go on anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ulmfit.data.batches import Epoch
from ulmfit.data.corpus import TokenCorpus

Ids = NDArray[np.int64]

# AWD-LSTM's main.py: with probability .05 the mean window is half as long; standard deviation 5;
# never under 5 steps.
SHORT_SHARE, LENGTH_STD, SHORTEST = 0.05, 5, 5


@dataclass(frozen=True)
class Window:
    """One step of LM training.

    Attributes:
        inputs: word ids, (B, T).
        targets: the words that follow, (B, T).
        lr_scale: learning rate's factor, T / bptt where lengths vary (AWD-LSTM), else 1.
    """

    inputs: Ids
    targets: Ids
    lr_scale: float = 1.0


class BPTTStream:
    """Windows over a corpus, epoch by epoch.

    Args:
        corpus: tokens.
        batch_size: B, rows.
        bptt: T, steps per window.
        backward: read every document from its end to its start (backward LM).
        vary: draw the lengths of windows as AWD-LSTM does: N(bptt, 5), or with probability .05
            N(bptt / 2, 5).
        shuffle: draw a new order of the documents for each epoch.
        seed: of order and lengths.
        part: (r, N): the stream is cut in N times B rows, of which these are the r-th B: what one
            of N processes reads.

    Raises:
        ValueError: the corpus has fewer than 2 tokens per row.
    """

    def __init__(
        self,
        corpus: TokenCorpus,
        batch_size: int,
        bptt: int,
        *,
        backward: bool = False,
        vary: bool = False,
        shuffle: bool = True,
        seed: int = 0,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        number, n_parts = part
        n_rows = n_parts * batch_size
        if corpus.n_tokens < 2 * n_rows:
            raise ValueError(
                f"{corpus.n_tokens} tokens do not fill {n_rows} rows of at least 2 tokens"
            )
        self.corpus, self.batch_size, self.bptt = corpus, batch_size, bptt
        self.backward, self.vary, self.shuffle, self.seed = backward, vary, shuffle, seed
        self.row_length = corpus.n_tokens // n_rows
        self.row_starts = (number * batch_size + np.arange(batch_size)) * self.row_length

    def count(self, epoch: int) -> int:
        """How many windows an epoch has."""
        if not self.vary:
            return -(-(self.row_length - 1) // self.bptt)
        rng = np.random.default_rng([self.seed, epoch])
        self._order(rng)  # drawn before the lengths are
        return len(self._cuts(rng)) - 1

    def epoch(self, epoch: int) -> Sequence[Window]:
        """The windows of one epoch, by position."""
        rng = np.random.default_rng([self.seed, epoch])
        order = self._order(rng)
        cuts = self._cuts(rng)
        return Epoch(len(cuts) - 1, _Windows(self, order, cuts).window)

    def _order(self, rng: np.random.Generator) -> Ids:
        n_docs = self.corpus.n_docs
        return rng.permutation(n_docs) if self.shuffle else np.arange(n_docs)

    def _cuts(self, rng: np.random.Generator) -> Ids:
        """Starts of the windows, and the end of the last one; a row of L tokens has L - 1 steps."""
        steps = self.row_length - 1
        if not self.vary:
            return np.append(np.arange(0, steps, self.bptt), steps)
        # Enough draws even if every window were among the shortest.
        draws = steps // SHORTEST + 1
        mean = np.where(rng.random(draws) < SHORT_SHARE, self.bptt / 2, self.bptt)
        lengths = np.maximum(SHORTEST, rng.normal(mean, LENGTH_STD).astype(np.int64))
        ends = np.cumsum(lengths)
        return np.concatenate([[0], ends[ends < steps], [steps]])


class _Windows:
    """Random access into the permuted, virtually concatenated documents of one epoch."""

    def __init__(self, stream: BPTTStream, order: Ids, cuts: Ids) -> None:
        self.stream, self.cuts = stream, cuts
        starts = stream.corpus.starts
        lengths = (starts[1:] - starts[:-1])[order]
        self.ends = np.cumsum(lengths)
        # Position p of the virtual stream, in document d, is at p + shift[d] (forward) or at
        # mirror[d] - p (backward) of the corpus.
        self.shift = starts[:-1][order] - (self.ends - lengths)
        self.mirror = starts[1:][order] - 1 + (self.ends - lengths)

    def window(self, index: int) -> Window:
        """The window at a position, from 0 on."""
        stream, length = self.stream, int(self.cuts[index + 1] - self.cuts[index])
        rows = stream.row_starts + self.cuts[index]
        positions = rows[:, None] + np.arange(length + 1)
        document = np.searchsorted(self.ends, positions, side="right")
        source = (
            self.mirror[document] - positions
            if stream.backward
            else self.shift[document] + positions
        )
        ids = stream.corpus.ids[source].astype(np.int64)
        scale = length / stream.bptt if stream.vary else 1.0
        return Window(ids[:, :-1], ids[:, 1:], scale)
