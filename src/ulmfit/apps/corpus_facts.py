"""What a corpus is: how much text, whether it is the same as before, and what words it has."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any
from zlib import crc32

from ulmfit.data.vocab import build_vocab, count_words

Texts = Callable[[], Iterable[str]]

# About half a million words each to learn words from and to look them up in.
SAMPLE_CHARS = 6_000_000
SAMPLE_VOCABULARY, SAMPLE_MIN_FREQ = 30_000, 2


@dataclass(frozen=True)
class CorpusFacts:
    """Counts of a corpus.

    Attributes:
        documents: how many.
        words: white-space separated.
        chars: characters.
        sha256: of all documents, in their order.
        unknown_share: of the words in one half of a sample, those that a vocabulary of 30,000 words
            from the other half lacks: 0 to 1.
    """

    documents: int
    words: int
    chars: int
    sha256: str
    unknown_share: float = 0.0

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
    """
    halves: tuple[list[str], list[str]] = ([], [])
    left = SAMPLE_CHARS
    for text in texts():
        halves[crc32(text.encode("utf-8", "surrogatepass")) % 2].append(text[:left])
        left -= len(text)
        if left <= 0:
            break
    known, looked_up = (count_words(half) for half in halves)
    vocabulary = set(build_vocab(known, max_size=SAMPLE_VOCABULARY, min_freq=SAMPLE_MIN_FREQ))
    unknown = Counter({word: n for word, n in looked_up.items() if word not in vocabulary})
    return unknown.total() / max(1, looked_up.total())
