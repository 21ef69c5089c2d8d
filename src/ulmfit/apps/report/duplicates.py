"""Test texts that occur in the training data, letter by letter or nearly.

Linear in the characters of both: MinHash by one hash per shingle (one-permutation hashing, Li, Owen
and Zhang 2012, with the empty bins filled as by Shrivastava and Li 2014), candidates by bands of
the sketch (locality-sensitive hashing), and the exact Jaccard index for the few that remain.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5  # characters
THRESHOLD = 0.8  # Jaccard index from which on two texts count as nearly the same
MOST_CHARS = 5_000  # of one text that are compared for likeness: two pages
# 20 bands of 6: a pair at the threshold is a candidate with a probability of 0.998, one at half of
# it (questions of the same form) of 0.08.
_ROWS, _BANDS = 6, 20
_BINS = _ROWS * _BANDS
_BLOCK = 1 << 15  # characters hashed at a time: what fits in the cache
_PER_BUCKET = 8  # training texts taken from one bucket
_VERIFIED = 3  # candidates per test text whose index is computed, the most alike first
_SLACK = 0.2  # the sketch estimates the index with a deviation of 0.04
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_WORD = re.compile(r"\w+")
_ASCII = "".join(chr(code).lower() if chr(code).isalnum() else " " for code in range(128))

Sketch = NDArray[np.uint64]


@dataclass(frozen=True)
class Pair:
    """A test text and the training text it is most like.

    Attributes:
        test_row: from 0.
        train_row: from 0.
        similarity: Jaccard index of the shingles; 1 where letters and digits are the same.
    """

    test_row: int
    train_row: int
    similarity: float

    @property
    def exact(self) -> bool:
        """Whether all letters and digits are the same."""
        return self.similarity == 1.0


def find_duplicates(
    train: Sequence[str], test: Sequence[str], *, threshold: float = THRESHOLD
) -> list[Pair]:
    """At most one pair per test text, in the order of the test texts.

    Case, punctuation and white space do not count. Texts without a letter or digit have no pair.

    Args:
        train: texts that were learnt.
        test: texts to look for among them.
        threshold: least Jaccard index of the sets of `SHINGLE` characters.
    """
    first: dict[bytes, int] = {}
    for row, text in enumerate(train):
        first.setdefault(_digest(text), row)
    first.pop(_digest(""), None)
    digests = enumerate(map(_digest, test))
    found = {row: Pair(row, first[digest], 1.0) for row, digest in digests if digest in first}
    known, asked = ([normalised(text[:MOST_CHARS]) for text in texts] for texts in (train, test))
    left = [row for row, text in enumerate(asked) if text and row not in found]
    for pair in _near(known, asked, left, threshold):
        found[pair.test_row] = pair
    return [found[row] for row in sorted(found)]


def normalised(text: str) -> str:
    """The words in lower case, one space between them."""
    if text.isascii():  # five times as fast
        return " ".join(text.translate(_ASCII).split())
    return " ".join(_WORD.findall(unicodedata.normalize("NFC", text).casefold()))


def _digest(text: str) -> bytes:
    """Of the whole text as normalised: forms have the same first pages, and are not the same."""
    return hashlib.sha256(normalised(text).encode("utf-8", "surrogatepass")).digest()


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """|A and B| / |A or B|; 0 for two empty sets."""
    both = len(first & second)
    union = len(first) + len(second) - both
    return both / union if union else 0.0


@lru_cache(maxsize=64)  # up to 0.8 MB each; those of one test text are asked for in a row
def shingles(text: str) -> frozenset[str]:
    """All runs of `SHINGLE` characters; of a shorter text the text itself."""
    return frozenset(text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1)))


def _near(
    known: Sequence[str], asked: Sequence[str], rows: Sequence[int], threshold: float
) -> Iterator[Pair]:
    """The best pair of each of these test texts, if any reaches the threshold."""
    if not rows or not known:
        return
    theirs, ours = sketches(known), sketches([asked[row] for row in rows])
    for place, candidates in _candidates(theirs, ours):
        agree = (theirs[candidates] == ours[place]).mean(axis=1)
        order = np.argsort(-agree, kind="stable")[:_VERIFIED]
        likely = candidates[order][agree[order] >= threshold - _SLACK]
        row = rows[place]
        rated = [(jaccard(shingles(asked[row]), shingles(known[j])), -int(j)) for j in likely]
        best, j = max(rated, default=(0.0, 0))
        if best >= threshold:
            # the sets can be the same though the texts are not
            yield Pair(row, -j, min(best, 0.999))


def _candidates(theirs: Sketch, ours: Sketch) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each of our sketches those of theirs that share a band with it."""
    found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for band in range(_BANDS):
        keys, wanted = _band(theirs, band), _band(ours, band)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        start = np.searchsorted(keys, wanted, side="left")
        count = np.minimum(np.searchsorted(keys, wanted, side="right") - start, _PER_BUCKET)
        for step in range(_PER_BUCKET):
            hit = np.flatnonzero(count > step)
            found.append((hit, order[start[hit] + step]))
    pairs = np.unique(np.stack([np.concatenate(side) for side in zip(*found, strict=True)]), axis=1)
    for place in np.unique(pairs[0]):
        low, high = np.searchsorted(pairs[0], [place, place + 1])
        yield int(place), pairs[1, low:high]


def _band(sketch: Sketch, band: int) -> Sketch:
    """One number for a band. Its bins lie far apart: neighbours may be copies, see `_filled`."""
    key = np.zeros(len(sketch), dtype=np.uint64)
    for row in range(_ROWS):
        key = _mixed(key * np.uint64(31) + sketch[:, row * _BANDS + band])
    return key


def sketches(texts: Sequence[str]) -> Sketch:
    """MinHash sketches, (N, bins); the share of equal bins of two estimates their Jaccard index."""
    found = np.full((len(texts), _BINS), _EMPTY, dtype=np.uint64)
    start = 0
    while start < len(texts):
        end, chars = start, 0
        while end < len(texts) and chars < _BLOCK:
            chars += max(SHINGLE, len(texts[end]))
            end += 1
        _sketch_block(texts[start:end], found[start:end])
        start = end
    return _filled(found)


def _sketch_block(texts: Sequence[str], out: Sketch) -> None:
    padded = [text.ljust(SHINGLE) for text in texts]
    lengths = np.array([len(text) for text in padded], dtype=np.int64)
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    owner = np.repeat(np.arange(len(texts)), lengths)
    last = len(codes) - SHINGLE + 1
    hashed = np.zeros(last, dtype=np.uint64)
    for step in range(SHINGLE):
        hashed = hashed * np.uint64(1_000_003) + codes[step : last + step]
    whole = owner[:last] == owner[SHINGLE - 1 :]  # shingles that do not reach into the next text
    hashed, owner = _mixed(hashed[whole]), owner[:last][whole]
    bins = ((hashed >> np.uint64(40)) % np.uint64(_BINS)).astype(np.int64)
    np.minimum.at(out.reshape(-1), owner * _BINS + bins, hashed)


def _mixed(values: Sketch) -> Sketch:
    """Each bit of the result depends on all bits (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _filled(sketch: Sketch) -> Sketch:
    """Empty bins take the value of the next full one to the right, told apart by the distance."""
    twice = np.concatenate([sketch, sketch], axis=1)
    place = np.where(twice != _EMPTY, np.arange(2 * _BINS), 2 * _BINS - 1)
    following = np.minimum.accumulate(place[:, ::-1], axis=1)[:, ::-1][:, :_BINS]
    distance = (following - np.arange(_BINS)).astype(np.uint64)
    values = np.take_along_axis(twice, following, axis=1)
    return np.asarray(values + distance * np.uint64(0x9E3779B97F4A7C15), dtype=np.uint64)
