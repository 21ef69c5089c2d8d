"""The clock: how many steps there are, and the rate of each."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.train.toy_job import Number, Numbers
from ulmfit.optim import schedules
from ulmfit.optim.nt_asgd import NTASGD
from ulmfit.optim.unfreezing import Phase, full, gradual_unfreezing
from ulmfit.settings import ScheduleSettings
from ulmfit.train.clock import Clock, schedule_factor

BATCHES = Numbers([Number()] * 10)


def optimizer(n_groups: int) -> torch.optim.AdamW:
    groups = [{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(n_groups)]
    return torch.optim.AdamW(groups, betas=(0.7, 0.99))


def rates_of(clock: Clock, n_groups: int, lr_scale: float = 1.0) -> list[list[float]]:
    """The rates of every step of a clock whose epochs have ten steps."""
    adam = optimizer(n_groups)
    found = []
    for step in range(clock.total):
        found.append(clock.set_rates(adam, step, step // 10, lr_scale))
        assert [group["lr"] for group in adam.param_groups] == found[-1]
    return found


def test_steps_in_all() -> None:
    plan = [Phase(1, (1.0,)), Phase(3, (1.0,))]
    settings = ScheduleSettings()
    assert Clock(plan, BATCHES, settings, None).total == 40
    assert Clock(plan, BATCHES, settings, 33).total == 33
    assert Clock(plan, BATCHES, settings, 99).total == 40


def test_epochs_of_different_lengths_are_counted_as_they_are() -> None:
    class Growing:
        def epoch(self, epoch: int) -> list[Number]:
            return [Number()] * (epoch + 1)

        def count(self, epoch: int) -> int:
            return epoch + 1

    clock = Clock([Phase(2, (1.0,)), Phase(2, (1.0,))], Growing(), ScheduleSettings(), None)
    assert clock.total == 1 + 2 + 3 + 4
    assert clock.span_of_epoch == [(0, 3), (0, 3), (3, 7), (3, 7)]
    assert [clock.epochs(steps) for steps in (0, 1, 2, 5, 6, 10)] == [0, 1, 1.5, 2 + 2 / 3, 3, 4]


def test_one_schedule_over_the_run_whatever_the_phases() -> None:
    plan = gradual_unfreezing([0.1, 0.2, 0.4], 5)
    rates = rates_of(Clock(plan, BATCHES, ScheduleSettings(), None), 3)
    for t, step_rates in enumerate(rates):
        share = schedules.slanted_triangular(t, 50)
        thawed = min(3, t // 10 + 1)
        expected = [0.1 * share, 0.2 * share, 0.4 * share]
        assert step_rates == pytest.approx([0.0] * (3 - thawed) + expected[3 - thawed :])


def test_one_schedule_for_each_phase() -> None:
    plan = gradual_unfreezing([0.1, 0.4], 4)
    settings = ScheduleSettings(scope="phase", cut_frac=1 / 8, frozen_cut_frac=1 / 3, ratio=8)
    rates = rates_of(Clock(plan, BATCHES, settings, None), 2)
    for t, step_rates in enumerate(rates):
        if t < 10:  # only the head: rises for a third
            share = schedules.slanted_triangular(t, 10, cut_frac=1 / 3, ratio=8)
            assert step_rates == pytest.approx([0.0, 0.4 * share])
        else:
            share = schedules.slanted_triangular(t - 10, 30, cut_frac=1 / 8, ratio=8)
            assert step_rates == pytest.approx([0.1 * share, 0.4 * share])


def test_a_phase_that_the_limit_cuts_ends_its_schedule_there() -> None:
    plan = gradual_unfreezing([0.1, 0.4], 4)
    settings = ScheduleSettings(kind="cosine", scope="phase", frozen_cut_frac=0.5)
    rates = rates_of(Clock(plan, BATCHES, settings, 15), 2)
    assert [r[1] for r in rates[10:]] == pytest.approx(
        [0.4 * schedules.cosine(t, 5) for t in range(5)]
    )


def test_the_batch_scales_the_rate() -> None:
    clock = Clock(full([0.5], 1), BATCHES, ScheduleSettings(kind="constant"), None)
    assert rates_of(clock, 1, lr_scale=0.4) == [[0.2]] * 10


def test_one_cycle_moves_the_momentum_and_keeps_the_second_moment() -> None:
    settings = ScheduleSettings(kind="one_cycle", cut_frac=0.25)
    clock = Clock(full([1.0, 1.0], 2), BATCHES, settings, None)
    adam = optimizer(2)
    for t in range(20):
        clock.set_rates(adam, t, t // 10, 1.0)
        for group in adam.param_groups:
            assert group["betas"] == (schedules.one_cycle_momentum(t, 20, pct_start=0.25), 0.99)
    sgd = NTASGD([nn.Parameter(torch.zeros(1))])
    Clock(full([1.0], 1), BATCHES, settings, None).set_rates(sgd, 3, 0, 1.0)
    assert "betas" not in sgd.param_groups[0]


def test_the_schedules_by_name() -> None:
    t, T = 7, 30
    expected = {
        "stlr": schedules.slanted_triangular(t, T, cut_frac=0.2, ratio=16),
        "cosine": schedules.cosine(t, T),
        "one_cycle": schedules.one_cycle(t, T, pct_start=0.2),
        "constant": 1.0,
        "warmup_stable_decay": schedules.warmup_stable_decay(t, T),
    }
    for kind, factor in expected.items():
        settings = ScheduleSettings.model_validate({"kind": kind, "ratio": 16})
        assert schedule_factor(settings, t, T, 0.2) == factor
