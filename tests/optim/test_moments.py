"""Moments that approach zero are forgotten, and nothing else changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from ulmfit.optim.moments import EVERY, LEAST, forget_tiny_moments
from ulmfit.optim.nt_asgd import NTASGD


def optimizer_of(weight: nn.Parameter) -> AdamW:
    optimizer = AdamW([weight], lr=0.1, betas=(0.7, 0.99), weight_decay=0.0, fused=True)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    return optimizer


def test_tiny_moments_are_zero_afterwards_and_others_as_they_were() -> None:
    weight = nn.Parameter(torch.ones(4))
    optimizer = optimizer_of(weight)
    moments = optimizer.state[weight]
    moments["exp_avg"].copy_(torch.tensor([1e-41, -1e-31, 1e-29, -2.0]))
    moments["exp_avg_sq"].copy_(torch.tensor([1e-44, 1e-38, 1e-36, 4.0]))
    forget_tiny_moments(optimizer)
    torch.testing.assert_close(moments["exp_avg"], torch.tensor([0.0, 0.0, 1e-29, -2.0]))
    torch.testing.assert_close(moments["exp_avg_sq"], torch.tensor([0.0, 0.0, 1e-36, 4.0]))
    assert moments["step"] == 1


@pytest.mark.parametrize("n_steps", [400, 20 * EVERY])
def test_a_weight_without_a_gradient_never_gets_numbers_that_take_long(n_steps: int) -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = optimizer_of(weight)
    weight.grad = torch.zeros_like(weight)
    smallest = torch.finfo(torch.float32).tiny
    for step in range(1, n_steps + 1):
        optimizer.step()
        if step % EVERY == 0:
            forget_tiny_moments(optimizer)
        for name in LEAST:
            moment = optimizer.state[weight][name].abs()
            assert bool(((moment == 0) | (moment >= smallest)).all()), (step, name)
    assert not optimizer.state[weight]["exp_avg"].any()


def test_an_optimizer_without_such_moments_stays_as_it_is() -> None:
    weight = nn.Parameter(torch.full((3,), 1e-40))
    optimizer = NTASGD([{"params": [weight], "averaging": True}], weight_decay=0.0)
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    assert optimizer.state[weight].keys() == {"ax", "n_averaged"}
    forget_tiny_moments(optimizer)
    assert torch.equal(optimizer.state[weight]["ax"], torch.full((3,), 1e-40))
