from __future__ import annotations

import numpy as np
import pytest

from ulmfit.apps.line_integrals import LEAST_PIECES, PIECES, Vector, integrate


def smooth(places: Vector) -> tuple[Vector, Vector]:
    """f(x, y) = x^3 + 2 x y on x = y = t."""
    return places**3 + 2 * places**2, np.stack([3 * places**2 + 2 * places, 2 * places], axis=1)


def step(places: Vector) -> tuple[Vector, Vector]:
    """A steep sigmoid near the start."""
    value = 1 / (1 + np.exp(-2000 * (places - 0.013)))
    return value, (2000 * value * (1 - value))[:, None]


def kinked(places: Vector) -> tuple[Vector, Vector]:
    """max(t, 3 t - 0.4), as maximum pooling makes it: the gradient jumps at 0.2."""
    late = places > 0.2
    slopes = np.where(late, 3.0, 1.0)
    return np.maximum(places, 3 * places - 0.4), np.stack([slopes - 1, np.ones_like(slopes)], 1)


def test_the_parts_of_a_polynomial() -> None:
    found = integrate(smooth, tolerance=1e-4, most_points=1000)
    np.testing.assert_allclose(found.parts, [2, 1], atol=1e-4)
    assert (found.start, found.end) == (0, 3)


def test_what_is_straight_takes_the_first_points_only() -> None:
    found = integrate(lambda t: (2 * t, np.full((len(t), 1), 2.0)), tolerance=1e-9, most_points=99)
    assert (found.points, found.parts.tolist()) == (PIECES + 1, [2.0])
    assert found.error <= 1e-12


def test_points_go_to_where_it_is_steep() -> None:
    asked: list[float] = []

    def watched(places: Vector) -> tuple[Vector, Vector]:
        asked.extend(places.tolist())
        return step(places)

    found = integrate(watched, tolerance=1e-3, most_points=1000)
    assert found.parts.sum() == pytest.approx(found.end - found.start, abs=1e-3)
    assert found.error <= 1e-3
    assert found.points < 150
    assert np.mean(np.asarray(asked) < 0.05) > 0.8
    assert len(asked) == len(set(asked)) == found.points, "no point is asked for twice"


def test_where_the_gradient_jumps() -> None:
    found = integrate(kinked, tolerance=1e-3, most_points=100)
    np.testing.assert_allclose(found.parts, [1.6, 1.0], atol=1e-3)
    assert found.points < PIECES + 12


def test_a_share_of_what_the_parts_are_together() -> None:
    coarse = integrate(kinked, tolerance=1e-6, share=0.02, most_points=1000)
    assert coarse.points == PIECES + 1
    assert abs(coarse.parts.sum() - 2.6) <= coarse.error <= 0.02 * np.abs(coarse.parts).sum()


def test_it_stops_when_it_has_to() -> None:
    found = integrate(step, tolerance=0, most_points=60)
    assert 60 <= found.points < 120
    assert found.error > 0


def test_without_time_it_is_coarse_and_its_ends_are_exact() -> None:
    found = integrate(step, tolerance=1e-4, most_points=1000, seconds=0)
    assert found.points == LEAST_PIECES + 1
    assert (found.start, found.end) == (step(np.zeros(1))[0][0], step(np.ones(1))[0][0])
    assert abs(found.parts.sum() - (found.end - found.start)) > 1e-4
    enough = integrate(step, tolerance=1e-3, most_points=1000, seconds=60)
    assert enough == integrate(step, tolerance=1e-3, most_points=1000)
