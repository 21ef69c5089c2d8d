from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ulmfit.config import Dropouts, LMConfig
from ulmfit.errors import SettingsError
from ulmfit.model import int8_encoder
from ulmfit.model.awd_lstm import AWDLSTM
from ulmfit.model.int8_encoder import (
    HIDDEN_SCALE,
    LEVELS,
    ZERO,
    Int8Encoder,
    multiply,
    pack_layer,
    pack_matrix,
    run_layer,
    to_bytes,
)


@pytest.fixture(autouse=True)
def _no_gradients() -> object:
    with torch.inference_mode():
        yield


def small_encoder(seed: int = 0, **sizes: int) -> AWDLSTM:
    torch.manual_seed(seed)
    config = LMConfig(
        **{"vocab_size": 50, "emb_size": 24, "hidden_size": 40, "n_layers": 3, **sizes}
    )
    return AWDLSTM(config, Dropouts()).eval()


def slow_layer(x: Tensor, h: Tensor, c: Tensor, layer: nn.LSTM, x_scale: float) -> Tensor:
    """The same rounding, step by step with plain float64 products: (T, B, I) -> (T, B, H)."""

    def rounded(weight: Tensor) -> Tensor:
        scale = weight.abs().amax(1, keepdim=True) / LEVELS
        return ((weight / scale).round() * scale).double()

    weight = layer.get_parameter
    w_ih, w_hh = rounded(weight("weight_ih_l0")), rounded(weight("weight_hh_l0"))
    bias = (weight("bias_ih_l0") + weight("bias_hh_l0")).double()
    outputs = []
    for step in x:
        x_t = (step / x_scale).round().clamp(-LEVELS, LEVELS).double() * x_scale
        h_t = (h * LEVELS).round().double() / LEVELS
        i, f, g, o = (x_t @ w_ih.T + h_t @ w_hh.T + bias).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = (o.sigmoid() * c.tanh()).float()
        outputs.append(h)
    return torch.stack(outputs)


@pytest.mark.int8
def test_products_of_bytes_are_exact() -> None:
    torch.manual_seed(1)
    x = torch.randint(1, 256, (5, 300), dtype=torch.uint8)
    weight = torch.randint(-LEVELS, LEVELS + 1, (7, 300)).float()
    weight[:, 0] = LEVELS  # so that a step is 1
    product = multiply(x, pack_matrix(weight, 1.0))
    assert torch.equal(product, ((x.double() - ZERO) @ weight.double().T).float())


def test_bytes_are_rounded_and_clipped() -> None:
    x = torch.tensor([0.0, 0.4, 0.6, -0.6, 1000.0, -1000.0])
    assert to_bytes(x, 1.0).tolist() == [128, 128, 129, 127, 255, 1]


@pytest.mark.int8
def test_a_layer_is_the_slow_one() -> None:
    torch.manual_seed(2)
    layer = nn.LSTM(24, 40)
    x = torch.randn(9, 3, 24)
    h, c = 0.5 * torch.rand(3, 40), torch.randn(3, 40)
    scale = 0.03
    hidden, as_bytes, state = run_layer(to_bytes(x, scale), (h, c), pack_layer(layer, scale))
    expected = slow_layer(x, h, c.double(), layer, scale)
    # A value between two bytes may fall to either side: one step of one weight.
    assert (hidden - expected).abs().max() < 5e-3
    assert (hidden - expected).abs().mean() < 1e-4
    assert torch.equal(as_bytes, to_bytes(hidden, HIDDEN_SCALE))
    assert torch.equal(state[0], hidden[-1])


@pytest.mark.int8
def test_the_encoder_is_close_to_the_exact_one() -> None:
    exact = small_encoder()
    tokens = torch.randint(0, 50, (6, 30))
    rounded = Int8Encoder(exact)
    a = exact(tokens, exact.initial_state(6))
    b = rounded(tokens, rounded.initial_state(6))
    error = (a.raw - b.raw).pow(2).mean().sqrt() / a.raw.pow(2).mean().sqrt()
    assert error < 0.05
    assert torch.equal(b.raw, b.dropped)
    for (h, c), (h8, c8) in zip(a.state, b.state, strict=True):
        assert (h - h8).abs().max() < 0.02
        assert (c - c8).abs().max() < 0.05


@pytest.mark.int8
def test_answers_depend_neither_on_the_batch_nor_on_the_chunks() -> None:
    encoder = Int8Encoder(small_encoder(hidden_size=96))
    tokens = torch.randint(0, 50, (300, 12))
    together = encoder(tokens, encoder.initial_state(300)).raw
    for row in (0, 299):
        alone = encoder(tokens[row : row + 1, :5], encoder.initial_state(1))
        rest = encoder(tokens[row : row + 1, 5:], alone.state)
        hidden = torch.cat([alone.raw, rest.raw], dim=1)
        assert (hidden - together[row : row + 1]).abs().max() < 1e-5


@pytest.mark.int8
def test_the_state_that_goes_in_is_not_changed() -> None:
    encoder = Int8Encoder(small_encoder())
    state = tuple(
        (torch.rand(2, h.size(1)), torch.rand(2, h.size(1))) for h, _ in encoder.initial_state(2)
    )
    before = [(h.clone(), c.clone()) for h, c in state]
    encoder(torch.randint(0, 50, (2, 4)), state)
    for (h, c), (h0, c0) in zip(state, before, strict=True):
        assert torch.equal(h, h0)
        assert torch.equal(c, c0)


@pytest.mark.int8
def test_weights_of_zero_do_not_divide_by_zero() -> None:
    encoder = small_encoder()
    for parameter in encoder.parameters():
        parameter.zero_()
    rounded = Int8Encoder(encoder)
    hidden = rounded(torch.zeros(1, 3, dtype=torch.long), rounded.initial_state(1)).raw
    assert torch.equal(hidden, torch.zeros(1, 3, 24))


def test_a_machine_whose_products_overflow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def saturating(x: Tensor, matrix: object, bias: Tensor | None = None) -> Tensor:
        return torch.full((2, 16), 32767.0)

    monkeypatch.setattr(int8_encoder, "multiply", saturating)
    with pytest.raises(SettingsError, match="int8 products overflow here"):
        Int8Encoder(small_encoder())
