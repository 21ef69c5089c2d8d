"""Seeded draws of rows: a stratified validation part, low-shot subsets, a limited set.

Every row gets a random key from the raw stream of PCG64, which NumPy keeps the same on every
platform and in every version; of each class the rows with the smallest keys are taken, and classes
are gone through in sorted order. So a seed means the same rows everywhere, and a smaller balanced
draw is a part of a greater one with the same seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ulmfit.errors import InputError

Labels = Sequence[str] | Sequence[tuple[str, ...]]
Indices = NDArray[np.int64]
_ROW_STREAM, _CLASS_STREAM = 0, 1  # so that rows and classes are not drawn by the same numbers


def stratified_split(labels: Labels, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Split rows in a training and a validation part with the classes in proportion.

    Every class with two rows or more is on both sides; a class with one row is in training.
    With several labels per row this holds as far as the labels of the rows allow: labels are
    shared out one after another, the rarest first, and rows without labels last.

    Args:
        labels: one label per row, or a tuple of labels per row.
        fraction: share of the rows for validation, in (0, 1).
        seed: of the draw.

    Returns:
        Row numbers for training and for validation, each sorted; together all rows.

    Raises:
        InputError: no class has two rows, or the fraction is out of range.
    """
    if not 0.0 < fraction < 1.0:
        raise InputError(f"validation fraction {fraction}", expected="a number between 0 and 1")
    keys = _keys(len(labels), seed, _ROW_STREAM)
    if _is_multi_label(labels):
        valid = _split_label_sets(cast(Sequence[tuple[str, ...]], labels), fraction, keys)
    else:
        groups = [rows for rows in _groups(cast(Sequence[str], labels)) if len(rows) > 1]
        target = max(1, round(fraction * len(labels)))
        takes = _in_proportion([len(rows) for rows in groups], target, least=1, leave=1)
        valid = _take(groups, takes, keys)
    if not len(valid):
        raise InputError(
            f"nothing can be held out of {len(labels)} different rows: no class has two of them",
            hint="Give more labelled rows, or a test file of your own.",
        )
    return np.setdiff1d(np.arange(len(labels)), valid), valid


def split_texts(
    texts: Sequence[str], labels: Labels, fraction: float, seed: int
) -> tuple[Indices, Indices]:
    """`stratified_split` of different texts: rows with the same text stay on one side.

    A text that was trained on would be recognised rather than classified. A repeated text counts
    once. Trained on are texts with more copies than the share wanted and than a text has on
    average, as one alone could be most of what is held out, and texts whose copies have different
    labels.

    Raises:
        InputError: no class has two such texts, or the fraction is out of range.
    """
    first: dict[str, int] = {}
    firsts = [first.setdefault(text, row) for row, text in enumerate(texts)]
    contradicted = {own for row, own in enumerate(firsts) if labels[row] != labels[own]}
    most = max(fraction * len(texts), len(texts) / max(1, len(first)))
    eligible = [own for own, n in Counter(firsts).items() if n <= most and own not in contradicted]
    if contradicted and not eligible:
        raise InputError(
            "nothing can be held out: every text has copies with different labels",
            hint="Correct the labels (`ulmfit check` shows them), or give a test file of your own.",
        )
    _, chosen = stratified_split(cast(Labels, [labels[row] for row in eligible]), fraction, seed)
    held_out = np.isin(firsts, [eligible[i] for i in chosen])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def stratified_draw(labels: Labels, n: int, seed: int) -> Indices:
    """Draw ``n`` rows with the classes in proportion, each class at least once where n allows.

    Rows with several labels count for the rarest of them.

    Returns:
        Sorted row numbers; all rows when ``n`` is the number of rows or more.

    Raises:
        InputError: ``n`` is below one.
    """
    _require_rows(n)
    if n >= len(labels):
        return np.arange(len(labels))
    groups = _groups(_one_each(labels))
    takes = _in_proportion([len(rows) for rows in groups], n, least=int(n >= len(groups)), leave=0)
    return _take(groups, takes, _keys(len(labels), seed, _ROW_STREAM))


def balanced_draw(labels: Labels, n: int, seed: int) -> Indices:
    """Draw ``n`` rows spread evenly over the classes, as in the low-shot curves (paper, figure 3).

    A class with too few rows gives all it has, and the others make up for it. What does not divide
    evenly goes to classes drawn at random. Rows with several labels count for the rarest of them.

    Returns:
        Sorted row numbers; all rows when ``n`` is the number of rows or more.

    Raises:
        InputError: ``n`` is below one.
    """
    _require_rows(n)
    if n >= len(labels):
        return np.arange(len(labels))
    groups = _groups(_one_each(labels))
    order = np.argsort(_keys(len(groups), seed, _CLASS_STREAM), kind="stable")
    takes = _evenly(np.array([len(rows) for rows in groups]), n, order)
    return _take(groups, takes, _keys(len(labels), seed, _ROW_STREAM))


def _keys(count: int, seed: int, stream: int) -> NDArray[np.uint64]:
    return np.random.PCG64([seed, stream]).random_raw(count)


def _is_multi_label(labels: Labels) -> bool:
    return any(isinstance(label, tuple) for label in labels)


def _require_rows(n: int) -> None:
    if n < 1:
        raise InputError(f"cannot draw {n} rows", expected="at least 1")


def _one_each(labels: Labels) -> list[str]:
    """One label per row: of several the rarest, of none the empty one."""
    if not _is_multi_label(labels):
        return list(cast(Sequence[str], labels))
    rows = cast(Sequence[tuple[str, ...]], labels)
    counts = Counter(label for row in rows for label in row)
    return [min(row, key=lambda label: (counts[label], label), default="") for row in rows]


def _groups(labels: Sequence[str]) -> list[Indices]:
    """Row numbers of each class, the classes in sorted order."""
    number = {label: place for place, label in enumerate(sorted(set(labels)))}
    places = np.fromiter((number[label] for label in labels), dtype=np.int64, count=len(labels))
    order = np.argsort(places, kind="stable")
    return np.split(order, np.cumsum(np.bincount(places))[:-1]) if len(labels) else []


def _take(groups: Sequence[Indices], takes: Sequence[int], keys: NDArray[np.uint64]) -> Indices:
    """Of each group as many rows as it is to give, those with the smallest keys; sorted."""
    taken = [
        rows[np.argsort(keys[rows], kind="stable")[:take]]
        for rows, take in zip(groups, takes, strict=True)
    ]
    return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *taken]))


def _in_proportion(sizes: Sequence[int], total: int, *, least: int, leave: int) -> list[int]:
    """Share ``total`` out in proportion to ``sizes`` (largest remainders).

    Each class gives ``least`` or more and keeps ``leave`` or more; within these bounds the sum is
    ``total``, or as near as they let it come.
    """
    if not sizes:
        return []
    room = np.array(sizes) - leave
    exact = np.array(sizes) * (total / sum(sizes))
    takes = np.clip(np.floor(exact).astype(np.int64), least, room)
    while takes.sum() < total and (takes < room).any():
        takes[np.argmax(np.where(takes < room, exact - takes, -np.inf))] += 1
    while takes.sum() > total and (takes > least).any():
        takes[np.argmax(np.where(takes > least, takes - exact, -np.inf))] -= 1
    return [int(take) for take in takes]


def _evenly(room: Indices, total: int, order: Indices) -> list[int]:
    """Share ``total`` out as evenly as ``room`` allows; the rest goes to classes in ``order``."""
    takes = np.zeros_like(room)
    while total > 0:
        open_classes = [place for place in order if takes[place] < room[place]]
        step = total // len(open_classes)
        if step == 0:
            takes[open_classes[:total]] += 1
            break
        grown = np.minimum(takes + step, room)
        total -= int((grown - takes).sum())
        takes = grown
    return [int(take) for take in takes]


def _split_label_sets(
    rows: Sequence[tuple[str, ...]], fraction: float, keys: NDArray[np.uint64]
) -> Indices:
    """Validation rows of a multi-label set: labels shared out one by one, the rarest first.

    After Sechidis et al., "On the Stratification of Multi-Label Data", ECML 2011, in one pass.
    """
    holders: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        for label in set(row) or {""}:
            holders.setdefault(label, []).append(number)
    placed: dict[int, bool] = {}  # row -> whether it is in validation
    for label in sorted(holders, key=lambda label: (label == "", len(holders[label]), label)):
        count = len(holders[label])
        wanted = min(max(round(fraction * count), 1), count - 1)
        wanted -= sum(placed.get(number, False) for number in holders[label])
        free = sorted((n for n in holders[label] if n not in placed), key=lambda n: int(keys[n]))
        for place, number in enumerate(free):
            placed[number] = place < wanted
    held = [number for number, in_validation in placed.items() if in_validation]
    if not held and max(map(len, holders.values()), default=0) > 1:
        # every row has a label that no other row has: then chance alone has to do
        held = np.argsort(keys, kind="stable")[: max(1, round(fraction * len(rows)))].tolist()
    return np.array(sorted(held[: len(rows) - 1]), dtype=np.int64)
