"""Optimisers in NumPy, as printed, over the gradients that a caller gives step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def adam(
    theta: Array,
    gradients: Sequence[Array],
    *,
    alpha: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    decoupled_decay: float = 0.0,
) -> list[Array]:
    """Kingma & Ba 2015, algorithm 1; theta after every step.

    Decoupled weight decay (Loshchilov & Hutter 2019) first multiplies theta by 1 - alpha * decay.
    """
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    path = []
    for t, g in enumerate(gradients, start=1):
        theta = theta * (1 - alpha * decoupled_decay)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        theta = theta - alpha * m_hat / (np.sqrt(v_hat) + epsilon)
        path.append(theta)
    return path


def nt_asgd(
    w: Array,
    gradient: Callable[[int, Array], Array],
    validation_loss: Callable[[Array], float],
    *,
    gamma: float,
    L: int,
    n: int,
    steps: int,
) -> tuple[list[Array], int]:
    """Merity et al. 2017, algorithm 1: all iterates w_0 ... and the trigger T (0: never).

    `gradient` takes the step and w. The result is the mean of the iterates from T on (the print),
    or after T (the authors' code). The print compares v with the least of the last n logs: a
    misprint (an author says so in awd-lstm-lm, issue 13), the last n are the ones left out.
    """
    t, T = 0, 0
    logs: list[float] = []
    path = [w]
    for k in range(1, steps + 1):
        w = w - gamma * gradient(k, w)
        path.append(w)
        if k % L == 0 and T == 0:
            v = validation_loss(w)
            if t > n and v > min(logs[: t - n]):
                T = k
            logs.append(v)
            t += 1
    return path, T
