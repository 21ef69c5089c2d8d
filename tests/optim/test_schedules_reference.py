"""Schedules against the printed formulas and fastai's recorded values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.reference import schedules as printed
from ulmfit.optim.schedules import (
    cosine,
    one_cycle,
    one_cycle_momentum,
    slanted_triangular,
    warmup_stable_decay,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "fastai_schedules.json"
RECORDED: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("T", [10, 30, 100, 1000])
@pytest.mark.parametrize(("cut_frac", "ratio"), [(0.1, 32.0), (1 / 3, 8.0), (1 / 8, 8.0)])
def test_slanted_triangular_is_the_printed_one(T: int, cut_frac: float, ratio: float) -> None:
    for t in range(T):
        expected = printed.stlr(t, T, 1.0, cut_frac, ratio)
        # The print turns below its lowest rate where floor(T * cut_frac) lost a step.
        expected = max(expected, 1 / ratio)
        actual = slanted_triangular(t, T, cut_frac=cut_frac, ratio=ratio)
        assert actual == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("T", [1, 2, 7, 100])
def test_cosine_is_the_printed_one(T: int) -> None:
    for t in range(T):
        assert cosine(t, T) == pytest.approx(printed.cosine(t, T, 1.0), abs=1e-15)


@pytest.mark.parametrize("T", [1, 4, 10, 77])
def test_one_cycle_is_half_a_cosine_up_and_half_a_cosine_down(T: int) -> None:
    for t in range(T):
        expected = printed.one_cycle(t / T, 1 / 25, 1.0, 1e-5, 0.25)
        assert one_cycle(t, T) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("case", RECORDED["one_cycle"], ids=lambda case: str(case["lr_max"]))
def test_one_cycle_rates_and_momenta_are_those_of_fastai(case: dict[str, Any]) -> None:
    T = len(case["positions"]) - 1
    shape = {"pct_start": case["pct_start"], "div": case["div"], "div_final": case["div_final"]}
    moms = tuple(case["moms"])
    for t, (rates, momentum) in enumerate(zip(case["lr"], case["mom"], strict=True)):
        share = one_cycle(t, T, **shape)
        # fastai places the steps in float32, so that .3 of a cycle is 1e-8 off.
        assert [share * top for top in case["lr_max"]] == pytest.approx(rates, rel=1e-5)
        assert one_cycle_momentum(t, T, pct_start=case["pct_start"], moms=moms) == pytest.approx(
            momentum, rel=1e-6
        )


def test_warm_up_constant_and_fall() -> None:
    rates = [warmup_stable_decay(t, 20, warmup=0.25, decay=0.4) for t in range(20)]
    expected = [0.2, 0.4, 0.6, 0.8, *[1] * 9, *(left / 8 for left in range(7, 0, -1))]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("T", [1, 2, 3, 10, 1000])
def test_every_step_of_warm_up_constant_and_fall_learns(T: int) -> None:
    rates = [warmup_stable_decay(t, T) for t in range(T)]
    assert min(rates) > 0
    assert max(rates) == 1
