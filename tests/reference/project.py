"""The project's modules as the references take them: the very same parameters, so that both sides
give gradients of the same tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.reference.classifier import BatchNorm, HeadWeights
from tests.reference.lstm import LSTMWeights
from ulmfit.model.awd_lstm import AWDLSTM
from ulmfit.model.classifier import Head


def layers(encoder: AWDLSTM) -> list[LSTMWeights]:
    return [layer_weights(rnn) for rnn in encoder.rnns if isinstance(rnn, nn.LSTM)]


def layer_weights(rnn: nn.LSTM) -> LSTMWeights:
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return LSTMWeights(*(rnn.get_parameter(name) for name in names))


def head_weights(head: Head) -> HeadWeights:
    one, two = head.linear1, head.linear2
    return HeadWeights(
        _norm(head.norm1), one.weight, one.bias, _norm(head.norm2), two.weight, two.bias
    )


def _norm(norm: nn.BatchNorm1d) -> BatchNorm:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return BatchNorm(norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.eps)


def fill(module: nn.Module, seed: int) -> None:
    """Weights large enough that every gate and every bias shows in the outputs."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(drawn * 0.5)


def gradients(loss: Tensor, module: nn.Module) -> dict[str, Tensor]:
    """d loss / d parameter, by the parameter's name."""
    named = dict(module.named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), retain_graph=True)
    return dict(zip(named, found, strict=True))


def assert_equal(actual: object, expected: object, tolerance: float = 1e-12) -> None:
    """Tensors, or lists, tuples and dicts of them; the dtype may differ."""
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance, check_dtype=False)
