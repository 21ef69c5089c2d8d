"""Learning rates of the layer groups, from settings."""

from __future__ import annotations

from ulmfit.optim.discriminative import discriminative, log_spaced, scaled
from ulmfit.settings import RateSettings


def group_rates(settings: RateSettings, n_groups: int) -> list[float]:
    """Largest rate of each group, from the bottom up."""
    match settings.kind:
        case "uniform":
            return [settings.lr] * n_groups
        case "divide":
            return discriminative(settings.lr, n_groups, settings.factor)
        case "log_spaced":
            return log_spaced(settings.lr / settings.factor, settings.lr, n_groups)
        case "shares":
            return scaled(settings.lr, settings.shares, n_groups)
