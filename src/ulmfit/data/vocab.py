"""Vocabularies: how often each word is seen, which words get an id, how two lists are joined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from ulmfit.data.memo import encodable
from ulmfit.data.rules import (
    COUNTS,
    SPECIALS,
    Kind,
    build_normalizer,
    build_splitter,
    document_rules,
)
from ulmfit.errors import SettingsError

MAX_COUNTED: Final = 1 << 21  # different words held at once; beyond it, those seen once are dropped
_MAX_CHUNKS: Final = 1 << 20
_JOINED: Final = 500  # chunks normalized at a time: fewer calls, and the cost per chunk halves


def count_words(texts: Iterable[str], *, kind: Kind = "word") -> Counter[str]:
    """Occurrences of each word, all rules applied; for subwords, of each span they stay inside.

    Texts are read once and never held. Only with more than two million different words are those
    forgotten again that were seen a single time.

    Args:
        texts: any iterable of documents.
        kind: kind of tokenizer that the words are for.
    """
    normalizer, splitter = build_normalizer(), build_splitter(kind)
    words: Counter[str] = Counter()
    for chunks in _count_chunks(texts):
        by_count: dict[int, list[str]] = {}
        for chunk, n in chunks.items():
            by_count.setdefault(n, []).append(chunk)
        for n, group in by_count.items():
            for joined in _joined(group):
                for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(joined)):
                    words[word] += n
        if len(words) > MAX_COUNTED:
            words = Counter({word: n for word, n in words.items() if n > 1})
    return words


def build_vocab(counts: Mapping[str, int], *, max_size: int, min_freq: int) -> list[str]:
    """The special tokens, the counts of `xxrep`, then words by falling frequency.

    Args:
        counts: word -> occurrences.
        max_size: most tokens, special ones included.
        min_freq: rarer words are left out (and become `xxunk`).

    Raises:
        SettingsError: `max_size` has no room for a single word, or `min_freq` is below 1.
    """
    fixed = [*SPECIALS, *COUNTS]
    if max_size <= len(fixed):
        raise SettingsError(f"vocab_size = {max_size}", expected=f"more than {len(fixed)}")
    if min_freq < 1:
        raise SettingsError(f"min_freq = {min_freq}", expected="1 or more")
    taken = set(fixed)
    words = [word for word, n in counts.items() if n >= min_freq and word not in taken]
    words.sort(key=lambda word: (-counts[word], word))
    return (fixed + words)[:max_size]


def merge_vocab(
    base: Sequence[str], extra: Iterable[str], *, max_size: int | None = None
) -> list[str]:
    """`base` as it is, then the words of `extra` that it lacks, in their order.

    Args:
        base: a vocabulary; its ids stay valid.
        extra: more words, the most wanted first.
        max_size: most tokens in the result; never cuts `base`.
    """
    merged = list(dict.fromkeys([*base, *extra]))
    return merged if max_size is None else merged[: max(max_size, len(base))]


def _count_chunks(texts: Iterable[str]) -> Iterator[Counter[str]]:
    """Counts of white-space chunks, in parts of bounded size."""
    chunks: Counter[str] = Counter()
    for text in texts:
        chunks.update(document_rules(text).split())
        if len(chunks) > _MAX_CHUNKS:
            yield chunks
            chunks = Counter()
    yield chunks


def _joined(chunks: Iterable[str]) -> Iterator[str]:
    # Different chunks in a row are never a repeated word, and a line end never makes ` @-@ `.
    chunks = iter(chunks)
    while group := list(islice(chunks, _JOINED)):
        yield encodable("\n".join(group))
