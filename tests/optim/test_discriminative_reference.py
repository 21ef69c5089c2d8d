"""Rates per layer group against the printed rule and fastai's recorded values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.reference import schedules as printed
from ulmfit.optim.discriminative import discriminative, log_spaced

GOLDEN = Path(__file__).parents[1] / "golden" / "fastai_schedules.json"
RECORDED: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("n_groups", [1, 2, 5])
def test_discriminative_rates_divide_by_two_point_six(n_groups: int) -> None:
    expected = printed.discriminative(0.01, n_groups)
    assert discriminative(0.01, n_groups) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "case",
    [case for case in RECORDED["group_rates"] if case["start"] is not None],
    ids=lambda case: f"{case['start']:.1e}-{case['stop']:.1e}-{case['groups']}",
)
def test_log_spaced_rates_are_those_of_a_fastai_slice(case: dict[str, Any]) -> None:
    rates = log_spaced(case["start"], case["stop"], case["groups"])
    assert rates == pytest.approx(case["lr"], rel=1e-9)
