"""Discriminative fine-tuning: one learning rate per layer group (paper, section 3.2).

Groups are counted from the bottom (embedding) up (head).
"""

from __future__ import annotations

from collections.abc import Sequence


def discriminative(eta: float, n_groups: int, factor: float = 2.6) -> list[float]:
    """eta_(l-1) = eta_l / factor, the top group at `eta` (paper, section 3.2: 2.6)."""
    return [eta / factor ** (n_groups - 1 - group) for group in range(n_groups)]


def log_spaced(low: float, high: float, n_groups: int) -> list[float]:
    """Rates from `low` to `high` in equal factors (fastai 2.8, `slice(low, high)`)."""
    if n_groups == 1:
        return [high]
    step = (high / low) ** (1 / (n_groups - 1))
    return [low * step**group for group in range(n_groups)]


def scaled(eta: float, shares: Sequence[float], n_groups: int) -> list[float]:
    """`eta` times a share per group; groups between the named ones take the nearest from below.

    The released code's LM rates are shares (1/2 for the tied embedding, 1/6, 1/3, 1): with fewer or
    more LSTM layers than three, the top shares are kept.

    Args:
        eta: base rate.
        shares: first the bottom group's, then those of the groups above it.
        n_groups: how many groups there are.
    """
    bottom, *upper = shares
    wanted = n_groups - 1
    padded = [upper[0]] * max(0, wanted - len(upper)) + upper[max(0, len(upper) - wanted) :]
    return [eta * share for share in [bottom, *padded][:n_groups]]
