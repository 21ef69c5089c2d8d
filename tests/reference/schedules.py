"""Learning-rate schedules as printed."""

from __future__ import annotations

import math


def stlr(t: int, T: int, eta_max: float, cut_frac: float, ratio: float) -> float:
    """Howard & Ruder 2018 (arXiv v5), equation 3, no guards: needs T * cut_frac >= 1."""
    cut = math.floor(T * cut_frac)
    p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
    return eta_max * (1 + p * (ratio - 1)) / ratio


def cosine(t: int, T: int, eta_max: float, eta_min: float = 0.0) -> float:
    """Loshchilov & Hutter 2017, equation 5, one period: T_cur = t, T_i = T."""
    return eta_min + (eta_max - eta_min) * (1 + math.cos(math.pi * t / T)) / 2


def one_cycle(position: float, start: float, top: float, end: float, pct_start: float) -> float:
    """fastai's one cycle: half a cosine up from start to top, half a cosine down to end."""
    if position < pct_start:
        part = position / pct_start
        return start + (top - start) * (1 - math.cos(math.pi * part)) / 2
    part = (position - pct_start) / (1 - pct_start)
    return top + (end - top) * (1 - math.cos(math.pi * part)) / 2


def discriminative(eta_top: float, n_layers: int) -> list[float]:
    """eta_(l-1) = eta_l / 2.6 (Howard & Ruder 2018, section 3.2), from the bottom up."""
    etas = [eta_top]
    while len(etas) < n_layers:
        etas.insert(0, etas[0] / 2.6)
    return etas
