from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ulmfit.model import weight_drop
from ulmfit.model.bf16_lstm import _BF16LSTM, SMALL_WINDOW, bf16_lstm
from ulmfit.model.weight_drop import lstm_layer

B, T, N_IN, H = 5, 7, 6, 8
NAMES = ("x", "w_ih", "w_hh", "bias", "h0", "c0")


def arguments(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((B, T, N_IN), (4 * H, N_IN), (4 * H, H), (4 * H,), (B, H), (B, H))
    return {
        name: (torch.randn(shape, generator=generator) * 0.5).to(dtype).requires_grad_()
        for name, shape in zip(NAMES, shapes, strict=True)
    }


def torch_lstm(a: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    states = (a["h0"].unsqueeze(0), a["c0"].unsqueeze(0))
    weights = [a["w_ih"], a["w_hh"], a["bias"], torch.zeros(4 * H)]
    out, h, c = torch.lstm(a["x"], states, weights, True, 1, 0.0, True, False, True)
    return out, h[0], c[0]


def score(out: Tensor, c: Tensor) -> Tensor:
    """Something that depends on every output in its own way."""
    weights = torch.linspace(-1, 1, out.numel()).view(out.shape)
    return (out.float() * weights).sum() + c.pow(2).sum()


def test_in_float32_the_formulas_are_torchs_own_lstm() -> None:
    ours, theirs = arguments(), arguments()
    steps = ours["x"].transpose(0, 1).contiguous()
    out, c = _BF16LSTM.apply(steps, *(ours[name] for name in NAMES[1:]))  # type: ignore[no-untyped-call]
    expected, _, expected_c = torch_lstm(theirs)
    torch.testing.assert_close(out.transpose(0, 1), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(c, expected_c, rtol=1e-5, atol=1e-6)
    torch.autograd.backward(score(out.transpose(0, 1), c))
    torch.autograd.backward(score(expected, expected_c))
    for name in NAMES:
        torch.testing.assert_close(ours[name].grad, theirs[name].grad, rtol=1e-4, atol=1e-5)


def test_in_bfloat16_the_error_is_that_of_rounding() -> None:
    ours, theirs = arguments(), arguments()
    out, h, c = bf16_lstm(*(ours[name] for name in NAMES))
    expected, expected_h, expected_c = torch_lstm(theirs)
    assert (out.dtype, h.dtype, c.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    assert (out - expected).abs().max() < 0.02
    assert (h - expected_h).abs().max() < 0.02
    assert (c - expected_c).abs().max() < 0.03
    torch.autograd.backward(score(out, c))
    torch.autograd.backward(score(expected, expected_c))
    for name in NAMES:
        a, b = ours[name].grad, theirs[name].grad
        assert a is not None
        assert b is not None
        assert (a - b).norm() < 0.02 * b.norm(), name


def test_the_last_hidden_state_carries_gradients() -> None:
    a = arguments()
    _, h, _ = bf16_lstm(*(a[name] for name in NAMES))
    torch.autograd.backward(h.sum())
    assert a["w_hh"].grad is not None
    assert a["w_hh"].grad.abs().sum() > 0


def test_what_is_frozen_gets_no_gradient() -> None:
    a = arguments()
    for name in ("x", "w_ih", "h0", "c0"):
        a[name].requires_grad_(False)
    out, _, c = bf16_lstm(*(a[name] for name in NAMES))
    torch.autograd.backward(score(out, c))
    assert a["x"].grad is None
    assert a["w_ih"].grad is None
    assert a["w_hh"].grad is not None


@pytest.mark.bf16
@pytest.mark.parametrize(("rows", "small"), [(2, True), (SMALL_WINDOW // 4, False)])
def test_small_windows_in_bf16_training_go_this_way_and_no_others(
    rows: int, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def counted(x: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen.append(x.size(0))
        return bf16_lstm(x, *rest)

    monkeypatch.setattr(weight_drop, "bf16_lstm", counted)
    layer, x = nn.LSTM(N_IN, H, batch_first=True), torch.randn(rows, 4, N_IN)
    state = (torch.zeros(rows, H), torch.zeros(rows, H))
    with torch.autocast("cpu", torch.bfloat16):
        lstm_layer(x, state, layer, 0.0, training=True)
        assert bool(seen) is small
        seen.clear()
        lstm_layer(x, state, layer, 0.0, training=False)
        with torch.no_grad():
            lstm_layer(x, state, layer, 0.0, training=True)
    lstm_layer(x, state, layer, 0.0, training=True)
    assert not seen
