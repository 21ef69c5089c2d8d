"""Exponents and verdicts of the cost curves."""

from __future__ import annotations

import pytest

from benchmarks.cost_curves import Curve, exponent, summed_up
from benchmarks.curve_page import exponents

CURVE = Curve("labels", "labels", "a step", (10, 100, 1_000))


@pytest.mark.parametrize("power", [0, 1, 2])
def test_exponent_of_a_power(power: int) -> None:
    costs = [3.0 * value**power for value in CURVE.values]
    assert exponent(CURVE.values, costs) == pytest.approx(power)


@pytest.mark.parametrize(("power", "said"), [(1, True), (2, False)])
def test_more_than_linear_is_said_aloud(power: int, said: bool) -> None:
    points = [{"seconds": 1e-3 * value**power, "bytes": 1e6} for value in CURVE.values]
    found = summed_up(CURVE, points)
    assert found["linear_or_better"] is said
    assert found["memory_exponent"] == 0
    assert ("| yes |" if said else "| NO |") in exponents([found])


def test_memory_counts_as_well() -> None:
    points = [{"seconds": 1.0, "bytes": 1e3 * value**2} for value in CURVE.values]
    assert not summed_up(CURVE, points)["linear_or_better"]
