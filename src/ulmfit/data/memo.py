"""White-space chunks and their ids, kept so that each chunk is tokenized once.

Natural text repeats itself: the 5.8 million chunks of IMDb's training reviews are 0.27 million
different ones. The Rust tokenizer defines the ids; this table only remembers them. That is exact,
because the few rules that look across white space are applied here first (`document_rules`), and
repeated words, the last of them, are found here and handed over as one chunk.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from itertools import chain, compress, pairwise
from operator import not_
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer as RustTokenizer

from ulmfit.data.rules import BOS_ID, build_plain_normalizer, document_rules, is_plain

Ids = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.int64]

MAX_CHUNKS: Final = 1 << 19  # about 100 MB with their ids
MAX_CHARS: Final = 1 << 24  # characters in all of them: base64 and the like must not pile up
BATCH_CHARS: Final = 1 << 19  # characters at a time: what bounds the memory of a long document

_SURROGATE = re.compile("[\ud800-\udfff]")
# White space that no row of repeated words goes across.
_SAFE_CUT = re.compile(r"\s(\S++)\s++(?!\1)")


class _Piece(NamedTuple):
    document: int
    first: bool
    chunks: list[str]


class _Numbering(dict[str, int]):
    """Chunk -> number; an unknown chunk gets the next number and waits to be learned."""

    def __init__(self) -> None:
        self.names = [""]  # number 0 is `xxbos`
        self.waiting: list[str] = []

    def __missing__(self, chunk: str) -> int:
        number = self[chunk] = len(self.names)
        self.names.append(chunk)
        self.waiting.append(chunk)
        return number


class ChunkMemo:
    """Encodes texts as the Rust tokenizer does, an order of magnitude faster.

    Safe to use from several threads and after a fork.
    """

    def __init__(self, rust: RustTokenizer) -> None:
        self._rust = rust
        self._plain = RustTokenizer(rust.model)
        self._plain.normalizer = build_plain_normalizer()
        self._plain.pre_tokenizer = rust.pre_tokenizer
        self._forget()
        self._enter_process()

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Ids of every text, `xxbos` first: what the Rust tokenizer gives for it."""
        if self._process != os.getpid():  # another thread may have held the lock at the fork
            self._enter_process()
        parts: list[list[Ids]] = [[] for _ in texts]
        for batch in _batches(texts):
            with self._lock:
                encoded = self._encode(batch)
            for piece, ids in zip(batch, encoded, strict=True):
                parts[piece.document].append(ids)
        return [part[0] if len(part) == 1 else np.concatenate(part) for part in parts]

    def _enter_process(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()

    def _forget(self) -> None:
        self._numbering = _Numbering()
        self._chars = 0
        self._ids: Ids = np.array([BOS_ID], dtype=np.int32)
        self._starts: Numbers = np.zeros(1, dtype=np.int64)
        self._lengths: Numbers = np.ones(1, dtype=np.int64)

    def _encode(self, batch: Sequence[_Piece]) -> list[Ids]:
        try:
            ends = np.cumsum([len(piece.chunks) for piece in batch])
            numbers = np.fromiter(
                map(self._numbering.__getitem__, chain.from_iterable(p.chunks for p in batch)),
                dtype=np.int64,
                count=int(ends[-1]),
            )
            numbers, ends = self._join_repeated_words(numbers, ends)
            self._learn()
            numbers, ends = _insert_bos(numbers, ends, batch)
            return self._gather(numbers, ends)
        except BaseException:
            self._forget()  # a half-learned table would give wrong ids from now on
            raise

    def _join_repeated_words(self, numbers: Numbers, ends: Numbers) -> tuple[Numbers, Numbers]:
        """Makes one chunk of each row of a repeated word, for the rule that counts them.

        A row may be too much (`:) :) :)` is no word): the tokenizer then splits it all the same.
        """
        same = np.flatnonzero(numbers[1:] == numbers[:-1])
        if not len(same):
            return numbers, ends
        names = self._numbering.names
        keep = np.ones(len(numbers), dtype=bool)
        stop = 0
        for start in same.tolist():
            if start < stop:
                continue
            end = int(ends[np.searchsorted(ends, start, side="right")])
            stop = _row_end(numbers, names, start, end)
            if stop - start > 2:
                # Line ends, for a space would make ` @.@ ` where there was none.
                row = "\n".join(names[number] for number in numbers[start:stop].tolist())
                numbers[start] = self._numbering[row]
                keep[start + 1 : stop] = False
        return numbers[keep], np.concatenate(([0], np.cumsum(keep)))[ends]

    def _learn(self) -> None:
        waiting = self._numbering.waiting
        if not waiting:
            return
        ids = self._encode_chunks(waiting)
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        flat = np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=int(lengths.sum()))
        starts = len(self._ids) + np.cumsum(lengths) - lengths
        self._ids = np.concatenate((self._ids, flat))
        self._starts = np.concatenate((self._starts, starts))
        self._lengths = np.concatenate((self._lengths, lengths))
        self._chars += sum(map(len, waiting))
        waiting.clear()

    def _encode_chunks(self, chunks: Sequence[str]) -> list[list[int]]:
        plain = [is_plain(chunk) for chunk in chunks]
        few = iter(
            self._plain.encode_batch_fast(list(compress(chunks, plain)), add_special_tokens=False)
        )
        others = [encodable(chunk) for chunk in compress(chunks, map(not_, plain))]
        all_rules = iter(self._rust.encode_batch_fast(others, add_special_tokens=False))
        return [next(few if easy else all_rules).ids for easy in plain]

    def _gather(self, numbers: Numbers, ends: Numbers) -> list[Ids]:
        lengths = self._lengths[numbers]
        stops = np.cumsum(lengths)
        source = np.repeat(self._starts[numbers] - (stops - lengths), lengths)
        source += np.arange(len(source))
        ids = self._ids[source]
        if len(self._numbering) > MAX_CHUNKS or self._chars > MAX_CHARS:
            self._forget()
        bounds = np.concatenate(([0], stops))[np.concatenate(([0], ends))].tolist()
        return [ids[start:stop] for start, stop in pairwise(bounds)]


def encodable(text: str) -> str:
    """The text with lone surrogates, which no encoding can hold, replaced one by one."""
    if text.isascii():
        return text
    return _SURROGATE.sub("\ufffd", text)


def _batches(texts: Sequence[str]) -> Iterator[list[_Piece]]:
    batch: list[_Piece] = []
    chars = 0
    for document, text in enumerate(texts):
        for n, part in enumerate(_pieces(document_rules(text))):
            batch.append(_Piece(document, n == 0, part.split()))
            chars += len(part)
            if chars > BATCH_CHARS:
                yield batch
                batch, chars = [], 0
    if batch:
        yield batch


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > BATCH_CHARS:
        cut = _SAFE_CUT.search(text, start + BATCH_CHARS)
        if cut is None:
            break
        yield text[start : cut.end()]
        start = cut.end()
    yield text[start:]


def _row_end(numbers: Numbers, names: Sequence[str], start: int, end: int) -> int:
    """First place after `start` that no row of repeated words goes across.

    In a row each word equals the one before; the last may have a comma or a full stop behind it.
    """
    stop = start + 1
    while stop < end and names[numbers[stop]].startswith(names[numbers[stop - 1]]):
        stop += 1
    return stop


def _insert_bos(
    numbers: Numbers, ends: Numbers, batch: Sequence[_Piece]
) -> tuple[Numbers, Numbers]:
    first = np.fromiter((piece.first for piece in batch), dtype=bool, count=len(batch))
    starts = np.concatenate(([0], ends[:-1]))
    return np.insert(numbers, starts[first], 0), ends + np.cumsum(first)
