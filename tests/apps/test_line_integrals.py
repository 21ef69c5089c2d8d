from __future__ import annotations

import numpy as np
import pytest

from ulmfit.apps.line_integrals import LEAST_NODES, NODES, Vector, integrate


def smooth(places: Vector) -> tuple[Vector, Vector]:
    """f(x, y) = x^3 + 2 x y on x = y = t."""
    return places**3 + 2 * places**2, np.stack([3 * places**2 + 2 * places, 2 * places], axis=1)


def step(places: Vector) -> tuple[Vector, Vector]:
    """A steep sigmoid near the start."""
    value = 1 / (1 + np.exp(-2000 * (places - 0.013)))
    return value, (2000 * value * (1 - value))[:, None]


def test_a_polynomial_is_exact_at_once() -> None:
    found = integrate(smooth, tolerance=1e-9, most_points=1000)
    np.testing.assert_allclose(found.parts, [2, 1])
    assert (found.start, found.end, found.points) == (0, 3, 2 * NODES + 3)


def test_points_go_to_where_it_is_steep() -> None:
    found = integrate(step, tolerance=1e-4, most_points=1000)
    assert found.parts.sum() == pytest.approx(found.end - found.start, abs=1e-4)
    assert found.points < 400


def test_it_stops_when_it_has_to() -> None:
    found = integrate(step, tolerance=0, most_points=60)
    assert 60 <= found.points < 60 + 4 * (NODES + 1)


def test_without_time_it_is_coarse_and_its_ends_are_exact() -> None:
    found = integrate(step, tolerance=1e-4, most_points=1000, seconds=0)
    assert found.points == LEAST_NODES + 2
    assert (found.start, found.end) == (step(np.zeros(1))[0][0], step(np.ones(1))[0][0])
    assert abs(found.parts.sum() - (found.end - found.start)) > 1e-4
    assert integrate(step, tolerance=1e-4, most_points=1000, seconds=60).points < 420
