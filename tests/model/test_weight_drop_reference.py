"""One LSTM layer against the step-by-step equations: outputs, state and all gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.reference.lstm import lstm
from tests.reference.project import assert_equal, fill, gradients, layer_weights
from ulmfit.model.weight_drop import lstm_layer, weight_drop

B, T, I, H = 3, 7, 5, 4  # noqa: E741
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


def layer_and_inputs(dtype: torch.dtype) -> tuple[nn.LSTM, Tensor, Tensor, Tensor]:
    layer = nn.LSTM(I, H, batch_first=True, dtype=dtype)
    fill(layer, seed=0)
    generator = torch.Generator().manual_seed(1)
    x, h, c = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for shape in ((B, T, I), (B, H), (B, H))
    )
    return layer, x, h, c


def reference(
    layer: nn.LSTM, x: Tensor, h: Tensor, c: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    rows = [lstm(x[b], h[b], c[b], layer_weights(layer), mask) for b in range(B)]
    out, last_h, last_c = (torch.stack(parts) for parts in zip(*rows, strict=True))
    return out, last_h, last_c


def scalar(*tensors: Tensor) -> Tensor:
    """A loss in which every output has a weight of its own."""
    terms = [
        (t * torch.linspace(-1, 1, t.numel(), dtype=t.dtype).view_as(t)).sum() for t in tensors
    ]
    return torch.stack(terms).sum()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("weight_p", [0.0, 0.5])
def test_outputs_state_and_gradients_are_those_of_the_equations(
    dtype: torch.dtype, weight_p: float
) -> None:
    layer, x, h, c = layer_and_inputs(dtype)
    torch.manual_seed(2)
    out, (last_h, last_c) = lstm_layer(x, (h, c), layer, weight_p, training=True)
    torch.manual_seed(2)
    mask = weight_drop(torch.ones(4 * H, H, dtype=dtype), weight_p, training=True)
    expected = reference(layer, x, h, c, mask)
    loss, expected_loss = scalar(out, last_h, last_c), scalar(*expected)

    tolerance = TOLERANCE[dtype]
    assert_equal((out, last_h, last_c), expected, tolerance)
    assert_equal(gradients(loss, layer), gradients(expected_loss, layer), tolerance)
    inputs = (x, h, c)
    assert_equal(
        torch.autograd.grad(loss, inputs), torch.autograd.grad(expected_loss, inputs), tolerance
    )


def test_no_weight_is_dropped_in_evaluation() -> None:
    layer, x, h, c = layer_and_inputs(torch.float64)
    out, _ = lstm_layer(x, (h, c), layer, 0.5, training=False)
    assert_equal(out, reference(layer, x, h, c, None)[0])


def test_dropped_weights_stay_dropped_for_all_steps_and_get_no_gradient() -> None:
    layer, x, h, c = layer_and_inputs(torch.float64)
    torch.manual_seed(2)
    out, _ = lstm_layer(x, (h, c), layer, 0.5, training=True)
    torch.manual_seed(2)
    mask = weight_drop(torch.ones(4 * H, H, dtype=torch.float64), 0.5, training=True)
    gradient = gradients(scalar(out), layer)["weight_hh_l0"]
    assert set(mask.flatten().tolist()) == {0.0, 2.0}
    assert torch.equal(gradient == 0, mask == 0)


def test_the_parameters_are_untouched_by_weight_drop() -> None:
    layer, x, h, c = layer_and_inputs(torch.float64)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    lstm_layer(x, (h, c), layer, 0.5, training=True)
    assert list(layer.state_dict()) == list(before)
    assert all(torch.equal(layer.state_dict()[name], before[name]) for name in before)
