"""Plans of who trains when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.optim.unfreezing import Phase, chain_thaw, full, gradual_unfreezing, last_only

RATES = [0.1, 0.2, 0.3, 0.4]


def thawed(plan: list[Phase]) -> list[tuple[int, list[int]]]:
    """(epochs, groups with a rate) of each phase."""
    return [
        (phase.epochs, [i for i, rate in enumerate(phase.rates) if rate is not None])
        for phase in plan
    ]


def test_full_and_last() -> None:
    assert full(RATES, 3) == [Phase(3, (0.1, 0.2, 0.3, 0.4))]
    assert last_only(RATES, 3) == [Phase(3, (None, None, None, 0.4))]


def test_gradual_unfreezing_thaws_one_group_more_each_epoch() -> None:
    assert gradual_unfreezing(RATES, 10) == [
        Phase(1, (None, None, None, 0.4)),
        Phase(1, (None, None, 0.3, 0.4)),
        Phase(1, (None, 0.2, 0.3, 0.4)),
        Phase(7, (0.1, 0.2, 0.3, 0.4)),
    ]


def test_gradual_unfreezing_as_in_the_released_code() -> None:
    plan = gradual_unfreezing(RATES, 5, steps=(1, 2))
    assert thawed(plan) == [(1, [3]), (1, [2, 3]), (3, [0, 1, 2, 3])]


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (1, [(1, [0, 1, 2, 3])]),
        (2, [(1, [3]), (1, [0, 1, 2, 3])]),
        (4, [(1, [3]), (1, [2, 3]), (1, [1, 2, 3]), (1, [0, 1, 2, 3])]),
    ],
)
def test_with_few_epochs_the_last_one_still_trains_all(
    epochs: int, expected: list[tuple[int, list[int]]]
) -> None:
    assert thawed(gradual_unfreezing(RATES, epochs)) == expected


def test_steps_of_more_groups_than_there_are_thaw_all() -> None:
    assert thawed(gradual_unfreezing(RATES, 2, steps=(9,))) == [
        (1, [0, 1, 2, 3]),
        (1, [0, 1, 2, 3]),
    ]


def test_chain_thaw_trains_the_head_then_each_group_alone_then_all() -> None:
    plan = chain_thaw(3, 6, layer_rate=1e-3, all_rate=1e-4)
    assert plan == [
        Phase(1, (None, None, 1e-3)),
        Phase(1, (1e-3, None, None)),
        Phase(1, (None, 1e-3, None)),
        Phase(3, (1e-4, 1e-4, 1e-4)),
    ]


def test_chain_thaw_with_few_epochs_ends_with_all() -> None:
    assert thawed(chain_thaw(3, 1, layer_rate=1.0, all_rate=0.1)) == [(1, [0, 1, 2])]
    assert thawed(chain_thaw(3, 2, layer_rate=1.0, all_rate=0.1)) == [(1, [2]), (1, [0, 1, 2])]


@given(st.integers(1, 6), st.integers(1, 20), st.lists(st.integers(1, 6), max_size=4))
def test_every_plan_has_the_epochs_asked_for_and_always_somebody_to_train(
    n_groups: int, epochs: int, steps: list[int]
) -> None:
    rates = [0.1] * n_groups
    for plan in (
        full(rates, epochs),
        last_only(rates, epochs),
        gradual_unfreezing(rates, epochs),
        gradual_unfreezing(rates, epochs, steps=steps),
        chain_thaw(n_groups, epochs, layer_rate=0.1, all_rate=0.01),
    ):
        assert sum(phase.epochs for phase in plan) == epochs
        assert all(phase.epochs > 0 and len(phase.rates) == n_groups for phase in plan)
        assert all(groups for _, groups in thawed(plan))
