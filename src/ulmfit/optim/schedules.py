"""Learning-rate schedules: pure functions of the step, as a share of the largest rate.

Each takes the step t = 0, 1, ..., T - 1 and the number of steps T >= 1 and returns eta_t / eta_max.
"""

from __future__ import annotations

import math


def slanted_triangular(t: int, T: int, *, cut_frac: float = 0.1, ratio: float = 32) -> float:
    """Slanted triangular learning rate, STLR (paper v5, equation 3).

    cut = floor(T * cut_frac);
    p = t / cut if t < cut, else 1 - (t - cut) / (cut * (1 / cut_frac - 1));
    eta_t = eta_max * (1 + p * (ratio - 1)) / ratio.

    Two guards that the print leaves out: cut is at least 1 (floor gives 0 for T < 1 / cut_frac),
    and p at least 0 (the floor makes the fall end before T, and the rate would turn negative).

    Args:
        t: step.
        T: number of steps.
        cut_frac: share of the steps in which the rate rises.
        ratio: how much smaller the lowest rate is than the largest.
    """
    cut = max(1, math.floor(T * cut_frac))
    p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
    return (1 + max(0.0, p) * (ratio - 1)) / ratio


def cosine(t: int, T: int) -> float:
    """Cosine annealing from 1 to 0 (Loshchilov & Hutter 2017, no restarts); "cos" in table 7."""
    return (1 + math.cos(math.pi * t / T)) / 2


def constant(t: int, T: int) -> float:
    """The same rate throughout."""
    return 1.0


def one_cycle(
    t: int, T: int, *, pct_start: float = 0.25, div: float = 25.0, div_final: float = 1e5
) -> float:
    """One-cycle with cosine arms, as fastai 2.8's `fit_one_cycle` (same default values).

    Rises from 1 / div to 1 over the first `pct_start` of the steps, then falls to 1 / div_final.
    """
    start, top, end = 1 / div, 1.0, 1 / div_final
    position = t / T
    if position < pct_start:
        return cosine_between(start, top, position / pct_start)
    return cosine_between(top, end, (position - pct_start) / (1 - pct_start))


def one_cycle_momentum(
    t: int, T: int, *, pct_start: float = 0.25, moms: tuple[float, float, float] = (0.8, 0.7, 0.8)
) -> float:
    """Adam's beta1 along the cycle: low where the rate is high (fastai 2.8 text: .8, .7, .8)."""
    position = t / T
    if position < pct_start:
        return cosine_between(moms[0], moms[1], position / pct_start)
    return cosine_between(moms[1], moms[2], (position - pct_start) / (1 - pct_start))


def warmup_stable_decay(t: int, T: int, *, warmup: float = 0.02, decay: float = 0.3) -> float:
    """Linear rise over `warmup` of the steps, constant, then a linear fall over `decay`.

    The fall would reach 0 at step T, so that the last step still learns. Hu et al. 2024, MiniCPM,
    section 4, where the fall takes a tenth; the shares here are ours, not compared with others.
    """
    if t + 1 < warmup * T:
        return (t + 1) / (warmup * T)
    return min(1.0, (T - t) / (decay * T))


def cosine_between(start: float, end: float, position: float) -> float:
    """Half a cosine wave from `start` (position 0) to `end` (position 1)."""
    return start + (1 - math.cos(math.pi * position)) * (end - start) / 2
