from __future__ import annotations

import pytest
import torch

from tests import tiny
from ulmfit.model.word_scales import scaled_logits

TOKENS = torch.from_numpy(tiny.documents([17])[0].astype("int64"))


@pytest.mark.parametrize("pool_tokens", [None, 10])
def test_with_all_factors_one_it_is_the_model(pool_tokens: int | None) -> None:
    model = tiny.classifier_model(pool_tokens=pool_tokens).eval()
    with torch.no_grad():
        expected = model(TOKENS.unsqueeze(0), torch.tensor([17])).logits
        found = scaled_logits(model, TOKENS, torch.ones(2, 17))
    torch.testing.assert_close(found, expected.expand(2, -1))


def test_a_factor_of_zero_is_a_word_whose_embedding_is_zero() -> None:
    model = tiny.classifier_model().eval()
    scales = torch.ones(1, 17)
    scales[0, 4] = 0
    with torch.no_grad():
        found = scaled_logits(model, TOKENS, scales)
        other = TOKENS.clone()
        other[4] = 0
        model.encoder.embedding.weight[0] = 0
        expected = model(other.unsqueeze(0), torch.tensor([17])).logits
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("chunk", [5, 50])
def test_the_gradient_goes_through_all_chunks(chunk: int) -> None:
    model = tiny.classifier_model(chunk=chunk).eval().requires_grad_(False).double()
    scales = torch.full((2, 17), 0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: scaled_logits(model, TOKENS, x), (scales,))


def test_nothing_is_left_on_the_model() -> None:
    model = tiny.classifier_model().eval().requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scales = torch.ones(1, 17, requires_grad=True)
    torch.autograd.grad(scaled_logits(model, TOKENS, scales).sum(), scales)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("chunk", [5, 50])
def test_bfloat16_is_near_and_has_a_gradient(chunk: int) -> None:
    model = tiny.classifier_model(chunk=chunk).eval().requires_grad_(False)
    found = []
    for bf16 in (False, True):
        scales = torch.full((2, 17), 0.7, requires_grad=True)
        logits = scaled_logits(model, TOKENS, scales, bf16=bf16)
        found.append((logits.detach(), *torch.autograd.grad(logits.sum(), scales)))
    for exact, fast, share in zip(*found, (0.03, 0.2), strict=True):
        assert not torch.equal(exact, fast)
        assert (exact - fast).norm() < share * exact.norm()


def test_chunks_are_counted_and_those_read_again_twice() -> None:
    model = tiny.classifier_model(chunk=5).eval().requires_grad_(False)
    seen: list[None] = []
    scales = torch.ones(1, 17)
    scaled_logits(model, TOKENS, scales, progress=lambda: seen.append(None))
    assert len(seen) == 4
    scales.requires_grad_()
    logits = scaled_logits(model, TOKENS, scales, progress=lambda: seen.append(None))
    torch.autograd.grad(logits.sum(), scales)
    assert len(seen) == 4 + 8
