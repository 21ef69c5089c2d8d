"""One pass over a data set: lengths, labels and fingerprints of the texts, 30 bytes per row."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ulmfit.data.labels import Label, LabelReader
from ulmfit.data.streams import Rows

_LOWER = bytes(range(256)).lower()
_NOT_ASCII_LETTERS = bytes(code for code in range(128) if not chr(code).isalnum())
# UTF-8 that was read as Windows-1252 somewhere on its way: "Ã©" for "é", "â€™" for an apostrophe.
_MIS_READ = re.compile("[ÂÃ][\u0080-\u00bf]|\u00e2\u20ac[\u0080-\u009f\u2018-\u2122\u0153]")
_SPACE = re.compile(r"\s")
_PART = 1 << 20  # characters
_REPLACED = "\ufffd"
NO_LABEL = -1
_QUANTILES = {"min": 0, "p5": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95, "p99": 99}


@dataclass
class Census:
    """What is counted of one data set; rows are numbered from 0.

    Attributes:
        words: white-space separated words of each text.
        chars: characters of each text.
        exact: 64-bit fingerprint of each text.
        near: fingerprint of its letters and digits in lower case, so that two texts that differ
            in case, spaces and punctuation have the same.
        label_ids: number of the label, or of the set of labels, of each row; ``NO_LABEL`` if none.
        label_names: number -> label or set of labels.
        label_counts: rows that have each class.
        mis_read: rows with traces of a wrong decoding.
        replaced: rows with U+FFFD, the mark of a character that was lost.
    """

    words: array[int] = field(default_factory=lambda: array("L"))
    chars: array[int] = field(default_factory=lambda: array("L"))
    exact: array[int] = field(default_factory=lambda: array("Q"))
    near: array[int] = field(default_factory=lambda: array("Q"))
    label_ids: array[int] = field(default_factory=lambda: array("l"))
    label_names: dict[Label, int] = field(default_factory=dict)
    label_counts: Counter[str] = field(default_factory=Counter)
    mis_read: list[int] = field(default_factory=list)
    replaced: list[int] = field(default_factory=list)

    def add(self, text: str, label: Label | None) -> None:
        """Count one row."""
        row = len(self.words)
        self.words.append(count_words(text))
        self.chars.append(len(text))
        exact, near = fingerprints(text)
        self.exact.append(exact)
        self.near.append(near)
        if not text.isascii():
            if _MIS_READ.search(text):
                self.mis_read.append(row)
            if _REPLACED in text:
                self.replaced.append(row)
        if label is None:
            self.label_ids.append(NO_LABEL)
            return
        self.label_ids.append(self.label_names.setdefault(label, len(self.label_names)))
        self.label_counts.update([label] if isinstance(label, str) else label)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.words)

    def blank(self) -> NDArray[np.int64]:
        """Rows whose text has no word."""
        return np.flatnonzero(np.asarray(self.words) == 0)

    def unlabelled(self) -> NDArray[np.int64]:
        """Rows without a label."""
        return np.flatnonzero(np.asarray(self.label_ids) == NO_LABEL)

    def repeats(self, prints: array[int]) -> NDArray[np.int64]:
        """Rows with text whose fingerprint an earlier row has."""
        full = np.flatnonzero(np.asarray(self.words) > 0)
        _, first = np.unique(np.asarray(prints)[full], return_index=True)
        return np.delete(full, first)

    def conflicts(self) -> list[NDArray[np.int64]]:
        """The rows of each text (letters and digits) that occurs under different labels."""
        ids = np.asarray(self.label_ids)
        rows = np.flatnonzero((ids != NO_LABEL) & (np.asarray(self.words) > 0))
        texts, place = np.unique(np.asarray(self.near)[rows], return_inverse=True)
        pairs = np.unique(np.stack([place, ids[rows]]), axis=1)
        several = np.flatnonzero(np.bincount(pairs[0], minlength=len(texts)) > 1)
        order = rows[np.argsort(place, kind="stable")]
        ends = np.cumsum(np.bincount(place, minlength=len(texts)))
        found = [order[ends[text - 1] if text else 0 : ends[text]] for text in several]
        return sorted(found, key=lambda group: int(group[0]))


def count_words(text: str) -> int:
    """White-space separated words; a huge text is split in parts, so as not to double it."""
    total, start = 0, 0
    while len(text) - start > _PART:
        space = _SPACE.search(text, start + _PART)
        end = space.start() if space else len(text)
        total += len(text[start:end].split())
        start = end
    return total + len(text[start:].split())


def fingerprints(text: str) -> tuple[int, int]:
    """64 bits for a text, and for its letters and digits in lower case (if it has any).

    Two different texts out of a million share theirs with a probability below 3e-8.
    """
    exact, near = (hashlib.blake2b(digest_size=8) for _ in range(2))
    seen = False
    for start in range(0, len(text), _PART):
        part = text[start : start + _PART]
        letters = _letters(part)
        exact.update(part.encode("utf-8", "surrogatepass"))
        near.update(letters)
        seen = seen or bool(letters)
    numbers = [int.from_bytes(made.digest(), "little") for made in (exact, near)]
    return numbers[0], numbers[1] if seen else numbers[0]


def _letters(text: str) -> bytes:
    if text.isascii():  # ten times as fast
        return text.encode().translate(_LOWER, _NOT_ASCII_LETTERS)
    composed = unicodedata.normalize("NFC", text).casefold()
    return composed.translate(_LETTERS).encode("utf-8", "surrogatepass")


class _LetterTable(dict[int, int | None]):
    """For str.translate: letters, marks (the vowels of many scripts) and numbers stay."""

    def __missing__(self, code: int) -> int | None:
        kept = unicodedata.category(chr(code))[0] in "LMN"
        self[code] = code if kept else None
        return self[code]


_LETTERS = _LetterTable()


def take_census(rows: Rows, labels: LabelReader | None) -> Census:
    """Count all rows of a stream."""
    census = Census()
    for batch in rows:
        texts = rows.texts(batch)
        found = labels.read(batch) if labels is not None else [None] * len(texts)
        for text, label in zip(texts, found, strict=True):
            census.add(text, label)
    return census


def quantiles(values: array[int]) -> dict[str, float]:
    """Minimum, quantiles, maximum, mean and total."""
    numbers = np.asarray(values)
    cuts = np.percentile(numbers, list(_QUANTILES.values()), method="lower")
    found = {name: int(cut) for name, cut in zip(_QUANTILES, cuts, strict=True)}
    total = int(numbers.sum())
    return found | {
        "max": int(numbers.max()),
        "mean": round(total / len(numbers), 1),
        "total": total,
    }
