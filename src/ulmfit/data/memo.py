"""Runs of non-space characters and their ids, kept so that each run is tokenized once.

Natural text repeats itself: IMDb's 5.8 million white-space runs are 0.28 million different ones.
The Rust tokenizer defines the ids; this table only remembers them, which is exact because no rule
but repeated words looks across white space, and those are found here and handed over whole.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer as RustTokenizer

from ulmfit.data.rules import BOS_ID, document_rules

Ids = npt.NDArray[np.int32]

MAX_RUNS: Final = 1 << 20  # about 150 MB at the length of natural words
MAX_RUN_CHARS: Final = 64  # longer runs are rarely seen twice
_BATCH_CHARS: Final = 1 << 20


class _Numbers(dict[str, int]):
    """Run -> number; an unknown run gets the next one and is queued."""

    def __init__(self) -> None:
        self.queue: list[str] = []
        self.clear()

    def clear(self) -> None:
        super().clear()
        self.runs: list[str] = [""]

    def __missing__(self, run: str) -> int:
        number = len(self.runs)
        self[run] = number
        self.runs.append(run)
        self.queue.append(run)
        return number


class RunMemo:
    """Ids of runs, and the flat gather that turns run numbers into token ids."""

    def __init__(self, rust: RustTokenizer) -> None:
        self._rust = rust
        self._lock = threading.Lock()
        self._numbers = _Numbers()
        self._reset()

    def _reset(self) -> None:
        self._numbers.clear()
        self._flat: Ids = np.array([BOS_ID], dtype=np.int32)
        self._starts: npt.NDArray[np.int64] = np.zeros(1, dtype=np.int64)
        self._lengths: npt.NDArray[np.int32] = np.ones(1, dtype=np.int32)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Ids of every text, `xxbos` first; the same as the Rust tokenizer alone gives."""
        with self._lock:
            out: list[Ids] = []
            first = 0
            while first < len(texts):
                last, chars = first, 0
                while last < len(texts) and (last == first or chars < _BATCH_CHARS):
                    chars += len(texts[last])
                    last += 1
                out.extend(self._encode(texts[first:last]))
                first = last
            return out

    def _encode(self, texts: Sequence[str]) -> list[Ids]:
        if len(self._numbers) > MAX_RUNS:
            self._reset()
        documents = [document_rules(text).split() for text in texts]
        counts = np.fromiter(map(len, documents), dtype=np.int64, count=len(documents))
        total = int(counts.sum())
        runs = np.fromiter(
            map(self._numbers.__getitem__, chain.from_iterable(documents)),
            dtype=np.int64,
            count=total,
        )
        ends = np.cumsum(counts)
        runs, ends = self._join_repeats(runs, ends)
        self._learn()
        # Run 0 is `xxbos`: one before each document.
        runs = np.insert(runs, np.concatenate(([0], ends[:-1])), 0)
        ends = ends + np.arange(1, len(texts) + 1)
        return self._gather(runs, ends)

    def _join_repeats(
        self, runs: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Makes one run of a word repeated three times or more, for the rule that counts them."""
        same = np.flatnonzero(runs[1:] == runs[:-1])
        if not len(same):
            return runs, ends
        names = self._numbers.runs
        keep = np.ones(len(runs), dtype=bool)
        done = 0
        for at in same.tolist():
            if at < done:
                continue
            stop = int(ends[np.searchsorted(ends, at, side="right")])  # end of its document
            word, last = names[runs[at]], at + 1
            while last < stop and runs[last] == runs[at]:
                last += 1
            if last < stop and names[runs[last]].startswith(word):
                last += 1
            if last > stop or last - at < 3:
                continue
            runs[at] = self._numbers[" ".join(names[run] for run in runs[at:last].tolist())]
            keep[at + 1 : last] = False
            done = last
        kept = np.concatenate(([0], np.cumsum(keep)))
        return runs[keep], kept[ends]

    def _learn(self) -> None:
        queue = self._numbers.queue
        if not queue:
            return
        self._numbers.queue = []
        encoded = self._rust.encode_batch_fast(
            [_encodable(run) for run in queue], add_special_tokens=False
        )
        ids = [encoding.ids for encoding in encoded]
        lengths = np.fromiter(map(len, ids), dtype=np.int32, count=len(ids))
        flat = np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=int(lengths.sum()))
        starts = len(self._flat) + np.cumsum(lengths, dtype=np.int64) - lengths
        self._flat = np.concatenate((self._flat, flat))
        self._starts = np.concatenate((self._starts, starts))
        self._lengths = np.concatenate((self._lengths, lengths))

    def _gather(self, runs: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> list[Ids]:
        lengths = self._lengths[runs]
        token_ends = np.cumsum(lengths, dtype=np.int64)
        shift = np.repeat(self._starts[runs] - (token_ends - lengths), lengths)
        shift += np.arange(len(shift))
        flat = self._flat[shift]
        return np.split(flat, token_ends[ends[:-1] - 1])


def _encodable(run: str) -> str:
    """The run with lone surrogates, which no encoding can hold, replaced one by one."""
    if run.isascii():
        return run
    return run.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
