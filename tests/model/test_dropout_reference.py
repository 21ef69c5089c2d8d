"""The dropouts against masks applied by hand."""

from __future__ import annotations

import torch

from ulmfit.model.dropout import dropout_mask, embed, variational_dropout

B, T, D, V = 4, 6, 5, 11
P = 0.4


def test_variational_dropout_holds_one_mask_per_sequence_over_all_steps() -> None:
    x = torch.randn(B, T, D, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(3)
    y = variational_dropout(x, P, training=True)
    torch.manual_seed(3)
    mask = dropout_mask(x, (B, 1, D), P)
    for b in range(B):
        for t in range(T):
            assert torch.equal(y[b, t], x[b, t] * mask[b, 0])
    assert len({tuple(row.tolist()) for row in mask[:, 0]}) > 1, "rows share one mask"
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, mask.expand(B, T, D))


def test_masks_hold_zero_and_one_over_one_minus_p_in_the_right_shares() -> None:
    torch.manual_seed(4)
    mask = dropout_mask(torch.zeros(1, dtype=torch.float64), (200, 200), P)
    assert set(mask.flatten().tolist()) == {0.0, 1 / (1 - P)}
    share = (mask == 0).double().mean().item()
    assert abs(share - P) < 4 * (P * (1 - P) / mask.numel()) ** 0.5


def test_embedding_dropout_drops_a_word_wherever_it_occurs() -> None:
    weight = torch.randn(V, D, dtype=torch.float64, requires_grad=True)
    tokens = torch.tensor([[1, 2, 1, 3], [3, 1, 10, 2]])
    torch.manual_seed(9)
    y = embed(tokens, weight, P, training=True)
    torch.manual_seed(9)
    words = dropout_mask(weight, (V,), P)
    assert 0 < (words[[1, 2, 3, 10]] == 0).sum() < 4, "the seed shows both kinds of word"
    expected_gradient = torch.zeros_like(weight)
    for b, row in enumerate(tokens.tolist()):
        for t, word in enumerate(row):
            assert torch.equal(y[b, t], weight[word] * words[word])
            expected_gradient[word] += words[word]
    (gradient,) = torch.autograd.grad(y.sum(), weight)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-14, rtol=0)


def test_nothing_is_dropped_in_evaluation_or_at_p_zero() -> None:
    x = torch.randn(B, T, D)
    weight = torch.randn(V, D)
    tokens = torch.randint(V, (B, T))
    for p, training in ((P, False), (0.0, True)):
        assert torch.equal(variational_dropout(x, p, training=training), x)
        assert torch.equal(embed(tokens, weight, p, training=training), weight[tokens])
