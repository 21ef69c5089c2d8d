"""Learning rates of the layer groups, from settings."""

from __future__ import annotations

from ulmfit.errors import SettingsError
from ulmfit.optim.discriminative import discriminative, log_spaced, scaled
from ulmfit.settings import RateSettings


def group_rates(settings: RateSettings, n_groups: int) -> list[float]:
    """Largest rate of each group, from the bottom up.

    Raises:
        SettingsError: `shares` does not name the bottom group's share and one above it.
    """
    match settings.kind:
        case "uniform":
            return [settings.lr] * n_groups
        case "divide":
            return discriminative(settings.lr, n_groups, settings.factor)
        case "log_spaced":
            return log_spaced(settings.lr / settings.factor, settings.lr, n_groups)
        case "shares":
            if len(settings.shares) < 2:
                raise SettingsError(
                    f"rates.shares is {list(settings.shares)}",
                    expected="the bottom group's share of rates.lr, then those of the groups above",
                    hint="The released code has [0.5, 0.17, 0.33, 1.0].",
                )
            return scaled(settings.lr, settings.shares, n_groups)
