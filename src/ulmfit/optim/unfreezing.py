"""Which layer groups train when: gradual unfreezing and the schemes it is compared with.

A plan is a list of phases; groups are counted from the bottom (embedding) up (head).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """A stretch of training with the same groups thawed.

    Attributes:
        epochs: length.
        rates: largest learning rate of each group; None: the group is frozen.
    """

    epochs: int
    rates: tuple[float | None, ...]


def full(rates: Sequence[float], epochs: int) -> list[Phase]:
    """All groups from the first step on ("full" in tables 6 and 7)."""
    return [Phase(epochs, tuple(rates))]


def last_only(rates: Sequence[float], epochs: int) -> list[Phase]:
    """The top group only ("last" in table 7)."""
    return [Phase(epochs, _thaw_top(rates, 1))]


def gradual_unfreezing(
    rates: Sequence[float], epochs: int, *, steps: Sequence[int] | None = None
) -> list[Phase]:
    """One group more per epoch, from the top; then all of them (paper, section 3.3).

    Args:
        rates: largest rate of each group.
        epochs: total number of epochs; if there are too few to thaw group by group, the last of
            them still trains all groups.
        steps: how many top groups each frozen epoch thaws; default 1, 2, ..., all but one
            (released code: 1, 2).

    Returns:
        The phases, whose epochs add up to `epochs`.
    """
    counts = list(range(1, len(rates))) if steps is None else list(steps)
    counts = counts[: max(0, epochs - 1)]
    frozen = [Phase(1, _thaw_top(rates, count)) for count in counts]
    return [*frozen, Phase(epochs - len(frozen), tuple(rates))]


def chain_thaw(n_groups: int, epochs: int, *, layer_rate: float, all_rate: float) -> list[Phase]:
    """Head alone, each group alone from the bottom up, then all (Felbo et al. 2017).

    Args:
        n_groups: number of groups.
        epochs: total; the epochs before the last phase take one each.
        layer_rate: rate of the one thawed group (paper, section 5: 0.001).
        all_rate: rate of the last phase (0.0001).
    """
    alone = [n_groups - 1, *range(n_groups - 1)][: max(0, epochs - 1)]
    phases = [
        Phase(1, tuple(layer_rate if group == thawed else None for group in range(n_groups)))
        for thawed in alone
    ]
    return [*phases, Phase(epochs - len(phases), (all_rate,) * n_groups)]


def _thaw_top(rates: Sequence[float], count: int) -> tuple[float | None, ...]:
    first = max(0, len(rates) - count)
    return tuple(None if group < first else rate for group, rate in enumerate(rates))
