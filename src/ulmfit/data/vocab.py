"""Word vocabularies: which words get an id, and how two vocabularies are joined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ulmfit.data.rules import COUNTS, SPECIALS


def build_vocab(counts: Mapping[str, int], *, max_size: int, min_freq: int) -> list[str]:
    """The specials, the counts of `xxrep`, then words by falling frequency.

    Args:
        counts: word -> occurrences.
        max_size: longest list allowed, specials included.
        min_freq: rarer words are left out (and become `xxunk`).
    """
    fixed = [*SPECIALS, *COUNTS]
    taken = set(fixed)
    words = [word for word, n in counts.items() if n >= min_freq and word not in taken]
    words.sort(key=lambda word: (-counts[word], word))
    return (fixed + words)[:max_size]


def merge_vocab(base: Sequence[str], extra: Iterable[str], *, max_size: int | None = None) -> list[str]:
    """`base` as it is, then the words of `extra` that it lacks, in their order."""
    merged = dict.fromkeys((*base, *extra))
    return list(merged)[: max_size if max_size is not None else len(merged)]


def count_runs(texts: Iterable[str]) -> Counter[str]:
    """Occurrences of each white-space run."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text.split())
    return counts
