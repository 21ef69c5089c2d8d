"""An integral along a line, exact to a tolerance that is known from the function's own values."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
# Positions on the line, (R,) -> the function's values there, (R,), and its gradients, (R, T).
Function = Callable[[Vector], tuple[Vector, Vector]]

# Gauss-Legendre nodes of one piece of the line: exact for polynomials up to degree 15. Ours.
NODES = 8
LEAST_NODES = 2  # where there is no time
_PIECES = 2  # at the start
_OF_HALVING = 2 * NODES + 1  # points


@dataclass(frozen=True)
class LineIntegral:
    """Integral of a gradient from 0 to 1 on a line.

    Attributes:
        parts: of each dimension, (T,).
        start: the function's value at 0.
        end: its value at 1.
        points: how often it was evaluated.
    """

    parts: Vector
    start: float
    end: float
    points: int


@dataclass(frozen=True, eq=False)
class _Piece:
    low: float
    high: float
    parts: Vector
    error: float


def integrate(
    function: Function, *, tolerance: float, most_points: int, seconds: float | None = None
) -> LineIntegral:
    """Integrate a gradient along a line, so that the parts add up to the change in value.

    By the gradient theorem the parts of every piece of the line add up to the difference of the
    values at its ends. Where they do not, the quadrature is off by just that, and the piece is
    halved: points go to where the function bends.

    Args:
        function: its gradient is by T dimensions that all are equal to the position.
        tolerance: sum over the pieces of how far each is off.
        most_points: stop halving after so many evaluations.
        seconds: stop before halving that would take longer, by the time of those before; and begin
            with fewer points where that would, but with `LEAST_NODES` and the ends.
    """
    clock = _Clock(function, seconds)
    values: dict[float, float] = {}
    pieces = _first(clock, values)
    while sum(piece.error for piece in pieces) > tolerance and clock.points < most_points:
        worst = max(piece.error for piece in pieces)
        split = [piece for piece in pieces if piece.error >= worst / 2]
        # the worst ones, as many as there is time for
        split = sorted(split, key=lambda piece: -piece.error)[: clock.affordable // _OF_HALVING]
        if not split:
            break
        halves = []
        for piece in (piece for piece in pieces if piece in split):
            middle = (piece.low + piece.high) / 2
            halves += [(piece.low, middle), (middle, piece.high)]
        pieces = [piece for piece in pieces if piece not in split]
        pieces += _measured(clock, halves, values)
    parts = np.sum([piece.parts for piece in pieces], axis=0)
    return LineIntegral(parts, values[0.0], values[1.0], clock.points)


class _Clock:
    """A function that knows how often it was asked, and how often there is time for."""

    def __init__(self, function: Function, seconds: float | None) -> None:
        self._function = function
        self._end = None if seconds is None else time.monotonic() + seconds
        self._each = 0.0
        self.points = 0

    @property
    def limited(self) -> bool:
        return self._end is not None

    @property
    def affordable(self) -> int:
        if self._end is None:
            return sys.maxsize
        return max(0, int((self._end - time.monotonic()) / max(self._each, 1e-9)))

    def __call__(self, places: Vector) -> tuple[Vector, Vector]:
        begin = time.monotonic()
        found = self._function(places)
        self._each = (time.monotonic() - begin) / len(places)
        self.points += len(places)
        return found


def _first(clock: _Clock, values: dict[float, float]) -> list[_Piece]:
    """The pieces at the start; fewer and coarser ones where there is no time."""
    if clock.limited:
        found, _ = clock(np.array([0.0, 1.0]))
        values.update(zip((0.0, 1.0), found.tolist(), strict=True))
        if (most := clock.affordable) < _PIECES * NODES + 1:
            return _measured(clock, [(0.0, 1.0)], values, max(LEAST_NODES, min(NODES, most)))
    return _measured(clock, list(pairwise(np.linspace(0, 1, _PIECES + 1).tolist())), values)


def _measured(
    function: Function,
    ranges: list[tuple[float, float]],
    values: dict[float, float],
    n_nodes: int = NODES,
) -> list[_Piece]:
    """The pieces of the line between the given ends; adds to what is known of the values there."""
    ends = sorted({end for both in ranges for end in both} - values.keys())
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    inner = [low + (high - low) * (nodes + 1) / 2 for low, high in ranges]
    found, slopes = function(np.concatenate([ends, *inner]))
    values.update(zip(ends, found[: len(ends)].tolist(), strict=True))
    pieces = []
    for place, (low, high) in enumerate(ranges):
        first = len(ends) + place * n_nodes
        parts = (high - low) / 2 * (weights @ slopes[first : first + n_nodes])
        error = abs(float(parts.sum()) - (values[high] - values[low]))
        pieces.append(_Piece(low, high, parts, error))
    return pieces
