"""NT-ASGD against algorithm 1: every iterate, the trigger, the average."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.reference.optimizers import Array, nt_asgd
from ulmfit.optim.nt_asgd import NTASGD

NOISE = np.random.default_rng(1).normal(size=(61, 3))


def noisy_gradient(k: int, w: Array) -> Array:
    noisy: Array = w + NOISE[k]
    return noisy


def validation_loss(w: Array) -> float:
    return float((w**2).sum())


@pytest.mark.parametrize("n", [1, 3, 5])
def test_nt_asgd_triggers_and_averages_as_algorithm_1(n: int) -> None:
    start = np.array([1.5, -2.0, 0.5])
    steps, every = 60, 2
    path, trigger = nt_asgd(
        start, noisy_gradient, validation_loss, gamma=0.3, L=every, n=n, steps=steps
    )
    assert 0 < trigger < steps - 2, "the case must show both phases"

    w = nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = NTASGD([w], lr=0.3, weight_decay=0.0, n=n)
    triggered = 0
    for k in range(1, steps + 1):
        w.grad = torch.from_numpy(noisy_gradient(k, w.detach().numpy()))
        optimizer.step()
        np.testing.assert_allclose(w.detach().numpy(), path[k], rtol=1e-9, atol=1e-12)
        if k % every == 0:
            optimizer.observe(validation_loss(w.detach().numpy()))
        if not triggered and optimizer.param_groups[0]["averaging"]:
            triggered = k
    assert triggered == trigger
    with optimizer.averaged():
        # As in the authors' code, the average begins with the first iterate after the trigger.
        average = np.mean(path[trigger + 1 :], axis=0)
        np.testing.assert_allclose(w.detach().numpy(), average, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(w.detach().numpy(), path[-1], rtol=1e-9, atol=1e-12)
