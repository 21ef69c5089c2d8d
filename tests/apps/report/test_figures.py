from __future__ import annotations

import pytest

from ulmfit.apps.report.figures import (
    Axis,
    count,
    interval,
    percent,
    plain,
    probability,
    round_up,
    ticks,
)


def test_numbers_as_they_are_written() -> None:
    assert percent(0.0623) == "6.2\u00a0%"
    assert percent(0.5, 0) == "50\u00a0%"
    assert interval((0.044, 0.087)) == "4.4 to 8.7\u00a0%"
    assert count(1, "row") == "1 row"
    assert count(1200, "class", "classes") == "1,200 classes"
    assert (plain(3.0), plain(0.25), plain(1500)) == ("3", "0.25", "1,500")


@pytest.mark.parametrize(
    ("p", "shown"), [(0.5, "0.50"), (0.99, "0.99"), (0.9951, "0.9951"), (0.99999, "0.9999")]
)
def test_no_probability_is_rounded_to_one(p: float, shown: str) -> None:
    assert probability(p) == shown


def test_axis() -> None:
    axis = Axis(0, 10, 100, 200)
    assert [axis.at(value) for value in (0, 5, 10, -3, 99)] == [100, 150, 200, 100, 200]
    assert Axis(0, 1, 200, 0).at(0.25) == 150  # downwards
    assert Axis(3, 3, 10, 20).at(3) == 10


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 0.3, [0, 0.1, 0.2, 0.3]),
        (2.1, 4.9, [3, 4]),
        (0, 424, [0, 100, 200, 300, 400]),
        (5, 5, [5]),
    ],
)
def test_ticks_are_round_and_few(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_the_end_of_an_axis_is_round() -> None:
    assert [round_up(v) for v in (0.0, 0.054, 0.1, 0.81, 1.2, 77)] == pytest.approx(
        [1, 0.06, 0.1, 1, 1.5, 80]
    )
