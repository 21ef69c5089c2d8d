"""BPT3C's gradient window: what comes before it gives no gradient and takes no memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests import tiny
from ulmfit.model.bpt3c import Encoded, encode_documents
from ulmfit.model.classifier import TextClassifierModel


def encode(
    model: TextClassifierModel, tokens: Tensor, lengths: Tensor, grad_tokens: int | None
) -> Encoded:
    return encode_documents(model.encoder, tokens, lengths, chunk=5, grad_tokens=grad_tokens)


def each_word_once(lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Documents in which no word occurs twice, so that a word's gradient is a place's."""
    tokens = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    numbers = iter(range(1, 1000))
    for row, n in enumerate(lengths):
        tokens[row, :n] = torch.tensor([next(numbers) for _ in range(n)])
    return tokens, torch.tensor(lengths)


@pytest.mark.parametrize("window", [5, 7, 10, 15])
def test_no_gradient_comes_from_before_the_window(window: int) -> None:
    lengths = [13, 4, 20, 9]
    model = tiny.classifier_model().train()
    tokens, sizes = each_word_once(lengths)
    encoded = encode(model, tokens, sizes, window)
    embedding = model.encoder.embedding.weight
    moved = torch.autograd.grad(encoded.pooled.pow(2).sum(), embedding)[0].abs().sum(dim=1) > 0
    chunks_with_gradient = -(-window // 5)
    for row, n in enumerate(lengths):
        n_chunks = -(-n // 5)
        first = 5 * max(0, n_chunks - chunks_with_gradient)
        assert [bool(moved[word]) for word in tokens[row, :n]] == [t >= first for t in range(n)]


def test_the_window_changes_no_output() -> None:
    model = tiny.classifier_model().train()
    tokens, lengths = each_word_once([13, 4, 20, 9])
    whole = encode(model, tokens, lengths, None).pooled
    for window in (1, 5, 11, 20, 1000):
        # Without AVX-512 oneDNN sums in another order where no gradient is wanted: a last bit.
        found = encode(model, tokens, lengths, window).pooled
        torch.testing.assert_close(found, whole, rtol=0.0, atol=1e-7)


def test_a_window_as_long_as_the_document_is_no_window() -> None:
    model = tiny.classifier_model().train()
    tokens, lengths = each_word_once([13, 4, 20, 9])
    parameters = list(model.encoder.parameters())
    found = []
    for window in (None, 20, 10_000):
        pooled = encode(model, tokens, lengths, window).pooled
        found.append(torch.autograd.grad(pooled.sin().sum(), parameters))
    for gradients in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(gradients, found[0], strict=True))


def saved_bytes(model: TextClassifierModel, n_tokens: int, grad_tokens: int | None) -> int:
    """Bytes that autograd keeps for the backward pass of one training step."""
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage  # held, so that no other one takes its place
        return tensor

    tokens, lengths = torch.ones(3, n_tokens, dtype=torch.long), torch.tensor([n_tokens] * 3)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(tokens, lengths, grad_tokens)
        loss = output.logits.sum() + sum(h.pow(2).sum() for h in output.hidden)
    assert loss.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


def test_training_memory_depends_on_the_window_and_not_on_the_document() -> None:
    model = tiny.classifier_model(chunk=10).train()
    within = saved_bytes(model, 40, grad_tokens=40)
    long = saved_bytes(model, 400, grad_tokens=40)
    assert long == pytest.approx(within, rel=0.01)
    assert saved_bytes(model, 4000, grad_tokens=40) == long
    # Otherwise it does: the measure sees what it should.
    assert saved_bytes(model, 400, grad_tokens=None) > 5 * within


def test_a_frozen_encoder_keeps_nothing_of_the_document() -> None:
    model = tiny.classifier_model(chunk=10).train()
    model.encoder.requires_grad_(False)
    assert saved_bytes(model, 400, grad_tokens=None) == saved_bytes(model, 40, grad_tokens=None)


def test_hidden_states_for_the_penalties_are_those_of_the_window() -> None:
    model = tiny.classifier_model().train()
    tokens, lengths = each_word_once([13, 4, 20, 9])
    encoded = encode(model, tokens, lengths, 10)
    assert len(encoded.hidden) == len(encoded.mask) == 2
    real = sum(int(mask.sum()) for mask in encoded.mask)
    assert real == (13 - 5) + 4 + (20 - 10) + 9
    assert encode(model.eval(), tokens, lengths, None).hidden == []
