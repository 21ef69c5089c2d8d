"""An integral along a line, exact to a tolerance that is known from the function's own values."""

from __future__ import annotations

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
_PIECES = 2  # at the start


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


@dataclass(frozen=True)
class _Piece:
    low: float
    high: float
    parts: Vector
    error: float


def integrate(function: Function, *, tolerance: float, most_points: int) -> LineIntegral:
    """Integrate a gradient along a line, so that the parts add up to the change in value.

    By the gradient theorem the parts of every piece of the line add up to the difference of the
    values at its ends. Where they do not, the quadrature is off by just that, and the piece is
    halved: points go to where the function bends.

    Args:
        function: its gradient is by T dimensions that all are equal to the position.
        tolerance: sum over the pieces of how far each is off.
        most_points: stop halving after so many evaluations.
    """
    ends = np.linspace(0, 1, _PIECES + 1)
    values: dict[float, float] = {}
    pieces = _measured(function, list(pairwise(ends.tolist())), values)
    points = len(values) + NODES * len(pieces)
    while sum(piece.error for piece in pieces) > tolerance and points < most_points:
        worst = max(piece.error for piece in pieces)
        split = [piece for piece in pieces if piece.error >= worst / 2]
        halves = []
        for piece in split:
            middle = (piece.low + piece.high) / 2
            halves += [(piece.low, middle), (middle, piece.high)]
        pieces = [piece for piece in pieces if piece.error < worst / 2]
        before = len(values)
        pieces += _measured(function, halves, values)
        points += len(values) - before + NODES * len(halves)
    parts = np.sum([piece.parts for piece in pieces], axis=0)
    return LineIntegral(parts, values[0.0], values[1.0], points)


def _measured(
    function: Function, ranges: list[tuple[float, float]], values: dict[float, float]
) -> list[_Piece]:
    """The pieces of the line between the given ends; adds to what is known of the values there."""
    ends = sorted({end for both in ranges for end in both} - values.keys())
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    inner = [low + (high - low) * (nodes + 1) / 2 for low, high in ranges]
    found, slopes = function(np.concatenate([ends, *inner]))
    values.update(zip(ends, found[: len(ends)].tolist(), strict=True))
    pieces = []
    for place, (low, high) in enumerate(ranges):
        first = len(ends) + place * NODES
        parts = (high - low) / 2 * (weights @ slopes[first : first + NODES])
        error = abs(float(parts.sum()) - (values[high] - values[low]))
        pieces.append(_Piece(low, high, parts, error))
    return pieces
