"""Seeded draws of rows: a stratified validation part, low-shot subsets, a limited set.

All randomness is NumPy's PCG64, whose stream is the same on every platform, and classes are taken
in sorted order, so a seed gives the same rows everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ulmfit.errors import InputError

Labels = Sequence[str] | Sequence[tuple[str, ...]]
Indices = NDArray[np.int64]


def stratified_split(labels: Labels, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Split rows in a training and a validation part with the classes in proportion.

    Every class with two rows or more is on both sides; a class with one row is in training.
    Rows with several labels are placed by their whole set of labels where that set is
    common, by their rarest label where not.

    Args:
        labels: one label per row, or a tuple of them.
        fraction: share of the rows for validation, in (0, 1).
        seed: of the draw.

    Returns:
        Row numbers for training and for validation, each sorted.

    Raises:
        InputError: fewer than two rows, no class with two rows, or a fraction out of range.
    """
    if not 0.0 < fraction < 1.0:
        raise InputError(f"validation fraction {fraction}", expected="a number between 0 and 1")
    groups = _groups(labels)
    splittable = [rows for rows in groups if len(rows) > 1]
    if not splittable:
        raise InputError(
            f"cannot hold out a validation part of {len(labels)} rows: no class has two rows",
            hint="Give more labelled rows, or a validation file of your own.",
        )
    target = max(round(fraction * len(labels)), 1)
    takes = _apportion([len(rows) for rows in splittable], target, least=1, leave=1)
    rng = np.random.default_rng(seed)
    drawn = [
        rng.permutation(rows)[:take] for rows, take in zip(splittable, takes, strict=True)
    ]
    valid = np.sort(np.concatenate(drawn))
    train = np.setdiff1d(np.arange(len(labels)), valid)
    return train, valid


def stratified_draw(labels: Labels, n: int, seed: int) -> Indices:
    """Draw ``n`` rows with the classes in proportion, each class at least once where n allows.

    Returns:
        Sorted row numbers; all rows when ``n`` is the number of rows or more.

    Raises:
        InputError: ``n`` is below one, or there are no rows.
    """
    _require_rows(labels, n)
    if n >= len(labels):
        return np.arange(len(labels))
    groups = _groups(labels)
    takes = _apportion([len(rows) for rows in groups], n, least=int(n >= len(groups)), leave=0)
    return _draw(groups, takes, seed)


def balanced_draw(labels: Labels, n: int, seed: int) -> Indices:
    """Draw ``n`` rows spread evenly over the classes, as in the paper's low-shot curves.

    A class with too few rows gives all it has and the others make up for it. What does not divide
    evenly goes to classes drawn at random.

    Returns:
        Sorted row numbers; all rows when ``n`` is the number of rows or more.

    Raises:
        InputError: ``n`` is below one, or there are no rows.
    """
    _require_rows(labels, n)
    if n >= len(labels):
        return np.arange(len(labels))
    groups = _groups(labels)
    return _draw(groups, _level([len(rows) for rows in groups], n, seed), seed)


def _require_rows(labels: Labels, n: int) -> None:
    if n < 1:
        raise InputError(f"cannot draw {n} rows", expected="at least 1")
    if not len(labels):
        raise InputError("cannot draw from no rows")


def _draw(groups: list[Indices], takes: list[int], seed: int) -> Indices:
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(rows)[:take] for rows, take in zip(groups, takes, strict=True)]
    return np.sort(np.concatenate(drawn))


def _groups(labels: Labels) -> list[Indices]:
    """Row numbers of each class, classes in sorted order."""
    keys = _strata(labels)
    names, place = np.unique(np.array(keys, dtype=object), return_inverse=True)
    order = np.argsort(place, kind="stable")
    return np.split(order, np.cumsum(np.bincount(place, minlength=len(names)))[:-1])


def _strata(labels: Labels) -> list[str]:
    """One class per row: the label itself, or for a tuple the label or set it is placed by."""
    if not any(isinstance(label, tuple) for label in labels):
        return [str(label) for label in labels]
    rows = [tuple(sorted(label)) for label in labels]
    sets: dict[tuple[str, ...], int] = {}
    counts: dict[str, int] = {}
    for row in rows:
        sets[row] = sets.get(row, 0) + 1
        for label in row:
            counts[label] = counts.get(label, 0) + 1
    return [
        "\x1f".join(row) if sets[row] > 1 else min(row, key=lambda label: (counts[label], label))
        for row in rows
        if row or True
    ]


def _apportion(sizes: list[int], total: int, *, least: int, leave: int) -> list[int]:
    """Share ``total`` out in proportion to ``sizes``: largest remainders, within bounds.

    Each class gets ``least`` or more and keeps ``leave`` or more.
    """
    exact = np.array(sizes, dtype=float) * min(total / sum(sizes), 1.0)
    takes = np.clip(np.floor(exact).astype(int), least, np.array(sizes) - leave)
    for place in np.argsort(-(exact - np.floor(exact)), kind="stable"):
        if takes.sum() >= total:
            break
        takes[place] += int(takes[place] < sizes[place] - leave)
    return [int(take) for take in takes]


def _level(sizes: list[int], n: int, seed: int) -> list[int]:
    """Share ``n`` out as evenly as the sizes allow."""
    takes = np.zeros(len(sizes), dtype=int)
    room = np.array(sizes)
    left = n
    while left >= (open_ := int((takes < room).sum())) > 0:
        step = left // open_
        grow = np.minimum(step, room - takes)
        takes += grow
        left -= int(grow.sum())
    order = np.random.default_rng([seed, 1]).permutation(np.flatnonzero(takes < room))
    takes[order[:left]] += 1
    return [int(take) for take in takes]
