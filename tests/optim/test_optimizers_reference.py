"""The Adam in use (torch's fused AdamW) against the printed one and fastai's recorded steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.reference.optimizers import adam

GOLDEN = Path(__file__).parents[1] / "golden" / "fastai.safetensors"


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_the_adam_in_use_is_the_printed_one(decay: float) -> None:
    rng = np.random.default_rng(0)
    theta, gradients = rng.normal(size=(3, 4)), list(rng.normal(size=(6, 3, 4)))
    parameter = nn.Parameter(torch.from_numpy(theta.copy()))
    optimizer = torch.optim.AdamW(
        [parameter], lr=0.05, betas=(0.7, 0.99), eps=1e-5, weight_decay=decay, fused=True
    )
    expected = adam(
        theta, gradients, alpha=0.05, beta1=0.7, beta2=0.99, epsilon=1e-5, decoupled_decay=decay
    )
    for gradient, wanted in zip(gradients, expected, strict=True):
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
        np.testing.assert_allclose(parameter.detach().numpy(), wanted, rtol=1e-12, atol=1e-14)


def test_the_adam_in_use_takes_the_steps_of_fastai_with_a_moving_momentum() -> None:
    golden = load_file(GOLDEN)
    parameter = nn.Parameter(golden["adam/0/parameter"].clone())
    optimizer = torch.optim.AdamW(
        [parameter], betas=(0.8, 0.99), eps=1e-5, weight_decay=0.01, fused=True
    )
    for step, (lr, momentum) in enumerate(golden["adam/lr_mom"].tolist(), start=1):
        optimizer.param_groups[0].update(lr=lr, betas=(momentum, 0.99))
        parameter.grad = golden[f"adam/{step}/gradient"].clone()
        optimizer.step()
        torch.testing.assert_close(
            parameter.detach(), golden[f"adam/{step}/parameter"], atol=1e-6, rtol=1e-5
        )
