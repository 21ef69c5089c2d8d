"""Rates of the layer groups, from settings."""

from __future__ import annotations

import pytest

from ulmfit.errors import SettingsError
from ulmfit.settings import RateSettings
from ulmfit.stages.rates import group_rates


def test_kinds() -> None:
    assert group_rates(RateSettings(lr=0.1, kind="uniform"), 3) == [0.1] * 3
    assert group_rates(RateSettings(lr=0.1, kind="divide", factor=2), 3) == [0.025, 0.05, 0.1]
    spaced = group_rates(RateSettings(lr=0.1, kind="log_spaced", factor=100), 3)
    assert spaced == pytest.approx([0.001, 0.01, 0.1])
    shares = RateSettings(lr=0.6, kind="shares", shares=(1 / 2, 1 / 6, 1 / 3, 1.0))
    assert group_rates(shares, 4) == pytest.approx([0.3, 0.1, 0.2, 0.6])


def test_shares_of_shallower_and_deeper_models() -> None:
    shares = RateSettings(lr=1.0, kind="shares", shares=(0.5, 0.2, 0.4, 1.0))
    assert group_rates(shares, 3) == [0.5, 0.4, 1.0]
    assert group_rates(shares, 5) == [0.5, 0.2, 0.2, 0.4, 1.0]
    assert group_rates(shares, 2) == [0.5, 1.0]


@pytest.mark.parametrize("shares", [(), (0.5,)])
def test_shares_that_are_not_there(shares: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError) as caught:
        group_rates(RateSettings(lr=1.0, kind="shares", shares=shares), 4)
    assert str(caught.value) == (
        f"rates.shares is {list(shares)}: expected the bottom group's share of rates.lr, then "
        "those of the groups above. The released code has [0.5, 0.17, 0.33, 1.0]."
    )
