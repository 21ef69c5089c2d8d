"""AR and TAR against the sums over every step and feature."""

from __future__ import annotations

import torch

from tests.reference import activation_reg as reference
from tests.reference.project import assert_equal
from ulmfit.model.activation_reg import activation_reg, temporal_activation_reg

B, T, E = 3, 5, 4


def test_values_and_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(B, T, E, generator=generator, requires_grad=True)
    for ours, printed in (
        (activation_reg(hidden, 2.0), reference.activation_reg(list(hidden), 2.0)),
        (
            temporal_activation_reg(hidden, 1.5),
            reference.temporal_activation_reg(list(hidden), 1.5),
        ),
    ):
        assert_equal(ours, printed, 1e-6)
        assert_equal(torch.autograd.grad(ours, hidden), torch.autograd.grad(printed, hidden), 1e-6)


def test_one_document_counts_as_many_do() -> None:
    """fastai 2.8 leaves TAR out for a batch of one, where it asks for the wrong dimension."""
    hidden = torch.randn(1, T, E)
    assert temporal_activation_reg(hidden, 1.0).item() > 0
    assert_equal(
        temporal_activation_reg(hidden.expand(B, T, E), 1.0),
        temporal_activation_reg(hidden, 1.0),
        1e-6,
    )


def test_a_window_of_one_step_has_no_temporal_difference() -> None:
    nothing = temporal_activation_reg(torch.randn(B, 1, E).bfloat16(), 1.0)
    assert (nothing.item(), nothing.dtype) == (0.0, torch.float32)


def test_a_window_of_two_steps_has_one_difference() -> None:
    assert temporal_activation_reg(torch.tensor([[[1.0], [4.0]]]), 2.0).item() == 18.0


def test_half_precision_does_not_overflow() -> None:
    hidden = torch.full((B, T, E), 300.0, dtype=torch.float16)
    assert activation_reg(hidden, 1.0).item() == 90_000.0
