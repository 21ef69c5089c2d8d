"""What a corpus is: how much text, whether it is the same as before, and what words it has."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any
from zlib import crc32

from ulmfit.data.corpus import parts_words
from ulmfit.data.vocab import build_vocab, count_words

Texts = Callable[[], Iterable[str]]

# About half a million words each to learn words from and to look them up in.
SAMPLE_CHARS = 6_000_000
SAMPLE_VOCABULARY, SAMPLE_MIN_FREQ = 30_000, 2
FULL_WORDS = 500_000  # to learn from; of a shorter text it is foretold what so many would leave
CHARS_OF_UNPARTED_WORD = 2  # Chinese: 1.5 to 2, by segmenter
_PIECE = 20_000  # characters of a document that stay together: a book alone has two halves too
_PARTS = 4  # of the half to learn from: the first one shows how fast the share falls


@dataclass(frozen=True)
class CorpusFacts:
    """Counts of a corpus.

    Attributes:
        documents: how many.
        words: white-space separated.
        chars: characters.
        sha256: of all documents, in their order.
        unknown_share: of words of the same kind of text, those that a vocabulary of 30,000 words
            from half a million lacks: 0 to 1.
    """

    documents: int
    words: int
    chars: int
    sha256: str
    unknown_share: float = 0.0

    @property
    def size(self) -> int:
        """Words; of writing without spaces, as many as its characters are likely to make."""
        parted = parts_words(self.words, self.chars)
        return self.words if parted else self.chars // CHARS_OF_UNPARTED_WORD

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure_corpus(texts: Texts) -> CorpusFacts:
    """Read a corpus once and count; a document is held at a time."""
    digest = hashlib.sha256()
    documents = words = chars = 0
    for text in texts():
        content = text.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
        documents, words, chars = documents + 1, words + len(text.split()), chars + len(text)
    return CorpusFacts(documents, words, chars, digest.hexdigest(), unknown_share(texts))


def unknown_share(texts: Texts) -> float:
    """Share of unknown words under a vocabulary of words, on the start of a corpus.

    Half of the documents, by a checksum, give the vocabulary; the others are looked up. English has
    some 7 %; where words are glued together or not parted at all, it is several times that.

    A short text has seen few words yet, in every language. The share falls by a power of the words
    seen, so it is taken for a part of them and for all, and prolonged to half a million.
    """
    parts, looked_up = _sample(texts)
    total = sum(parts, Counter[str]())
    known, share = total.total(), _unknown(total, looked_up)
    if known >= FULL_WORDS or not share:
        return share
    first = parts[0].total()
    if not 0 < first < known:
        return share
    power = math.log(_unknown(parts[0], looked_up) / share) / math.log(known / first)
    foretold: float = share * (known / FULL_WORDS) ** max(0.0, power)
    return foretold


def _sample(texts: Texts) -> tuple[list[Counter[str]], Counter[str]]:
    """Words of each part to learn from, and those to look up."""
    parts: list[list[str]] = [[] for _ in range(_PARTS)]
    looked_up: list[str] = []
    left = SAMPLE_CHARS
    for text in texts():
        for start in range(0, min(len(text), left), _PIECE):
            piece = text[start : start + min(_PIECE, left)]
            check = crc32(piece.encode("utf-8", "surrogatepass"))
            chosen = looked_up if check % 2 else parts[check // 2 % _PARTS]
            chosen.append(piece)
            left -= len(piece)
        if left <= 0:
            break
    return [count_words(part) for part in parts], count_words(looked_up)


def _unknown(known: Counter[str], looked_up: Counter[str]) -> float:
    vocabulary = set(build_vocab(known, max_size=SAMPLE_VOCABULARY, min_freq=SAMPLE_MIN_FREQ))
    unknown = sum(n for word, n in looked_up.items() if word not in vocabulary)
    return unknown / max(1, looked_up.total())
