"""Whether a result agrees with the paper: in direction, and in size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ulmfit.experiments.results import Result, difference, half_over_rows, summarize

AGREES, LEANS = "agrees", "leans so"
OPPOSITE, LEANS_OPPOSITE = "opposite", "leans opposite"
LARGER, SMALLER, OPEN = "larger", "smaller", "open"


@dataclass(frozen=True)
class Verdict:
    """How a row stands to the reference row, here and in the paper; in points of error.

    Attributes:
        gap: row minus reference here; None for the reference itself.
        half: half of its 95 % interval.
        paper_gap: the same in the paper; None where it has no numbers.
        direction: `agrees` (same sign, zero outside of the interval), `leans so` (same sign, zero
            inside), and their opposites; None where there is nothing to compare.
        size: `agrees` if the paper's gap lies within the interval and zero does not, `open` if both
            do; else `larger` or `smaller` than it, or for certain of the `opposite` sign. Of the
            reference: `agrees` if the paper's error lies within the interval over the seeds, `open`
            if only other rows could account for the difference; else `larger` or `smaller`.
    """

    gap: float | None
    half: float | None
    paper_gap: float | None
    direction: str | None
    size: str | None


def judge(
    ours: Sequence[Result],
    reference: Sequence[Result],
    paper: float | None,
    paper_reference: float | None,
) -> Verdict:
    """Compare a row with the reference row, and both with the paper.

    Args:
        ours: results of the row, one per seed.
        reference: those of the reference row; none where it has not been run.
        paper: the paper's error of the row, in percent; None if there is none.
        paper_reference: that of the reference row.
    """
    if not ours or not reference:
        return Verdict(None, None, None, None, None)
    gap, half = difference(ours, reference)
    if paper is None or paper_reference is None:
        return Verdict(gap, half, None, None, None)
    paper_gap = paper - paper_reference
    direction = _direction(gap, half, paper_gap)
    return Verdict(gap, half, paper_gap, direction, _size(gap, half, paper_gap))


def judge_reference(reference: Sequence[Result], paper: float | None) -> Verdict:
    """The reference row has no gap; its error itself is held against the paper's."""
    if not reference or paper is None:
        return Verdict(None, None, None, None, None)
    found = summarize(reference)
    size = LARGER if found.mean > paper else SMALLER
    if found.low <= paper <= found.high:
        size = AGREES
    elif found.n > 1:  # of one seed, the interval is that of the rows
        seeds = max(found.mean - found.low, found.high - found.mean)
        if abs(found.mean - paper) <= math.hypot(seeds, half_over_rows(reference)):
            size = OPEN
    return Verdict(None, None, None, None, size)


def _direction(gap: float, half: float, paper_gap: float) -> str | None:
    if paper_gap == 0 or gap == 0:
        return None
    certain = abs(gap) > half
    if gap * paper_gap > 0:
        return AGREES if certain else LEANS
    return OPPOSITE if certain else LEANS_OPPOSITE


def _size(gap: float, half: float, paper_gap: float) -> str:
    certain = abs(gap) > half
    if abs(gap - paper_gap) <= half:
        return AGREES if certain else OPEN
    if gap * paper_gap < 0:
        return OPPOSITE if certain else SMALLER
    return LARGER if abs(gap) > abs(paper_gap) else SMALLER
