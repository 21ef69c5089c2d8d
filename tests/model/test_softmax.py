"""The softmax over a large vocabulary: exact in blocks, and estimated from a sample."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ulmfit.model import softmax
from ulmfit.model.softmax import (
    SampledSoftmax,
    full_softmax_loss,
    sampled_softmax_loss,
    summed_nll,
)

V, E, N = 60, 5, 40


@pytest.fixture
def layer() -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states (N, E), weights (V, E) and biases (V,) of a model that knows frequencies."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(N, E, generator=generator)
    weight = torch.randn(V, E, generator=generator) * 0.7
    bias = ((COUNTS + 1) / (COUNTS + 1).sum()).log()
    return hidden, weight, bias


# As words are: a few are everywhere, most are rare.
COUNTS = (10_000 / torch.arange(1, V + 1)).long()


def drawn_targets(n: int, generator: torch.Generator) -> Tensor:
    return torch.multinomial(COUNTS.double(), n, replacement=True, generator=generator)


def naive_nll(hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor) -> list[float]:
    """-log(exp(z_target) / sum_w exp(z_w)) for each row."""
    scores = (hidden.double() @ weight.double().t()) + bias.double()
    sums = scores.exp().sum(dim=1).log()
    return [float(sums[row] - scores[row, target]) for row, target in enumerate(targets)]


def sampled_loss(
    sampler: SampledSoftmax, hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    chosen = sampler.choose(targets)
    return sampled_softmax_loss(hidden, chosen, weight[chosen.words], bias[chosen.words])


def test_the_full_loss_is_the_mean_of_the_definition(layer: tuple[Tensor, Tensor, Tensor]) -> None:
    targets = drawn_targets(N, torch.Generator().manual_seed(1))
    expected = naive_nll(layer[0], targets, *layer[1:])
    loss = full_softmax_loss(layer[0], targets, *layer[1:])
    assert float(loss) == pytest.approx(sum(expected) / N, rel=1e-6)


@pytest.mark.parametrize("rows", [1, 7, 40, 1000])
def test_the_summed_loss_is_the_same_in_blocks_of_any_size(
    rows: int, layer: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(softmax, "LOGIT_ROWS", rows)
    targets = drawn_targets(N, torch.Generator().manual_seed(1))
    total = summed_nll(layer[0], targets, *layer[1:])
    assert total.dtype == torch.float64
    assert float(total) == pytest.approx(sum(naive_nll(layer[0], targets, *layer[1:])), rel=1e-6)


def test_with_every_word_among_the_candidates_the_sampled_loss_is_the_full_one(
    layer: tuple[Tensor, Tensor, Tensor],
) -> None:
    torch.manual_seed(0)
    targets = drawn_targets(N, torch.Generator().manual_seed(1))
    everything = SampledSoftmax(COUNTS, n_samples=20_000)
    assert torch.unique(everything.draw()).numel() == V
    hidden, weight, bias = (part.clone().requires_grad_() for part in layer)
    sampled = sampled_loss(everything, hidden, targets, weight, bias)
    full = full_softmax_loss(hidden, targets, weight, bias)
    torch.testing.assert_close(sampled, full, atol=1e-5, rtol=0)
    ours = torch.autograd.grad(sampled, [hidden, weight, bias])
    theirs = torch.autograd.grad(full, [hidden, weight, bias])
    for mine, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, wanted, atol=1e-6, rtol=1e-4)


def test_draws_follow_the_flattened_frequencies() -> None:
    torch.manual_seed(0)
    drawn = SampledSoftmax(COUNTS, n_samples=50_000).draw()
    shares = torch.bincount(drawn, minlength=V) / 50_000
    p = (COUNTS + 1) / (COUNTS + 1).sum()
    expected = p.sqrt() / p.sqrt().sum()
    torch.testing.assert_close(shares, expected, atol=2e-3, rtol=0.05)


def test_draws_never_leave_the_vocabulary() -> None:
    torch.manual_seed(0)
    sampler = SampledSoftmax(torch.zeros(3, dtype=torch.long), n_samples=10_000)
    assert set(sampler.draw().tolist()) == {0, 1, 2}


def test_the_inclusion_probability_is_how_often_a_word_is_a_candidate() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    sampler = SampledSoftmax(COUNTS, n_samples=15)
    trials, present = 4000, torch.zeros(V)
    for _ in range(trials):
        candidates = torch.cat([drawn_targets(N, generator), sampler.draw()])
        present[torch.unique(candidates)] += 1
    pi = sampler.log_inclusion(N).exp()
    # Four standard deviations of a share of 4000 trials.
    tolerance = 4 * float((pi * (1 - pi) / trials).sqrt().max())
    torch.testing.assert_close(present / trials, pi, atol=tolerance, rtol=0)


def test_the_estimate_of_the_sum_is_unbiased(layer: tuple[Tensor, Tensor, Tensor]) -> None:
    # E[sum over candidates of exp(z) / pi] = sum over all words of exp(z).
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    sampler = SampledSoftmax(COUNTS, n_samples=15)
    exp_z = (layer[0][0] @ layer[1].t() + layer[2]).exp()
    pi = sampler.log_inclusion(N).exp()
    estimates = []
    for _ in range(4000):
        candidates = torch.unique(torch.cat([drawn_targets(N, generator), sampler.draw()]))
        estimates.append(float((exp_z / pi)[candidates].sum()))
    found = torch.tensor(estimates, dtype=torch.float64)
    error = float(found.std()) / len(found) ** 0.5
    assert error < 0.01 * float(exp_z.sum())
    assert float(found.mean()) == pytest.approx(float(exp_z.sum()), abs=4 * error)


def test_loss_and_gradient_are_those_of_the_full_softmax_on_average(
    layer: tuple[Tensor, Tensor, Tensor],
) -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(2)
    hidden, bias = layer[0], layer[2]
    weight = layer[1].clone().requires_grad_()
    sampler = SampledSoftmax(COUNTS, n_samples=120)
    trials = 800
    losses = torch.zeros(2, dtype=torch.float64)
    gradients = torch.zeros(2, V, E, dtype=torch.float64)
    for _ in range(trials):
        targets = drawn_targets(N, generator)
        values = (
            sampled_loss(sampler, hidden, targets, weight, bias),
            full_softmax_loss(hidden, targets, weight, bias),
        )
        for i, value in enumerate(values):
            losses[i] += value.detach() / trials
            gradients[i] += torch.autograd.grad(value, weight)[0] / trials
    # The log of an unbiased estimate lies a little low, by about half its relative variance.
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=0.003)
    difference = (gradients[0] - gradients[1]).norm() / gradients[1].norm()
    assert float(difference) < 0.02


def test_words_that_are_no_candidates_get_no_gradient(
    layer: tuple[Tensor, Tensor, Tensor],
) -> None:
    torch.manual_seed(0)
    hidden, bias = layer[0], layer[2]
    weight = layer[1].clone().requires_grad_()
    targets = torch.zeros(N, dtype=torch.long)
    loss = sampled_loss(SampledSoftmax(COUNTS, n_samples=3), hidden, targets, weight, bias)
    touched = torch.autograd.grad(loss, weight)[0].abs().sum(dim=1) > 0
    assert touched[0]
    assert int(touched.sum()) <= 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_candidates_that_fill_up_the_multiple_change_nothing(
    dtype: torch.dtype, layer: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = drawn_targets(N, torch.Generator().manual_seed(1))
    results = []
    for multiple in (1, 7, 64):
        monkeypatch.setattr(softmax, "CANDIDATE_MULTIPLE", multiple)
        torch.manual_seed(0)
        chosen = SampledSoftmax(COUNTS, n_samples=5).choose(targets)
        assert chosen.words.numel() % multiple == 0
        hidden = layer[0].to(dtype).requires_grad_()
        weight, bias = (x.clone().requires_grad_() for x in layer[1:])
        loss = sampled_softmax_loss(hidden, chosen, weight[chosen.words], bias[chosen.words])
        results.append([loss.detach(), *torch.autograd.grad(loss, [hidden, weight, bias])])
    assert torch.isfinite(results[0][0])
    for filled in results[1:]:
        torch.testing.assert_close(filled, results[0], atol=1e-6, rtol=1e-5)


def test_batches_whose_candidates_differ_in_number_make_products_of_few_shapes() -> None:
    torch.manual_seed(0)
    sampler = SampledSoftmax((1e6 / torch.arange(1, 3001)).long(), n_samples=256)
    p = 1 / torch.arange(1, 3001).double()
    chosen = [sampler.choose(torch.multinomial(p, 500, replacement=True)) for _ in range(40)]
    distinct = {len(set(choice.words.tolist())) for choice in chosen}
    assert len(distinct) > 20
    assert len({choice.words.numel() for choice in chosen}) <= 2


def test_words_that_never_occur_can_be_drawn_and_predicted(
    layer: tuple[Tensor, Tensor, Tensor],
) -> None:
    torch.manual_seed(0)
    sampler = SampledSoftmax(torch.zeros(V, dtype=torch.long), n_samples=2)
    loss = sampled_loss(sampler, layer[0], torch.full((N,), V - 1), layer[1], layer[2])
    assert torch.isfinite(loss)


def test_the_draws_are_part_of_the_random_state(layer: tuple[Tensor, Tensor, Tensor]) -> None:
    targets = drawn_targets(N, torch.Generator().manual_seed(1))
    sampler = SampledSoftmax(COUNTS, n_samples=10)
    losses = []
    for _ in range(2):
        torch.manual_seed(7)
        losses.append(float(sampled_loss(sampler, layer[0], targets, *layer[1:])))
    assert losses[0] == losses[1]


def plain_loss(hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(hidden @ weight.t() + bias, targets)


@pytest.mark.parametrize("rows", [1, 7, 40, 1000])
def test_loss_and_gradients_are_the_same_in_blocks_of_any_size(
    rows: int, layer: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(softmax, "BLOCK_LOGITS", rows * V)
    targets = drawn_targets(N, torch.Generator().manual_seed(2))
    found, expected = ([x.clone().requires_grad_() for x in layer] for _ in range(2))
    loss = full_softmax_loss(found[0], targets, *found[1:])
    slow = plain_loss(expected[0], targets, *expected[1:])
    assert loss.item() == pytest.approx(slow.item(), rel=1e-6)
    torch.autograd.backward(3 * loss)
    torch.autograd.backward(3 * slow)
    for a, b in zip(found, expected, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-7)


def test_rows_whose_scores_differ_by_hundreds_stay_finite() -> None:
    # exp(-200) is no float32: each row is scaled by its own largest score.
    hidden, weight = torch.tensor([[200.0], [0.1]]), torch.tensor([[1.0], [-1.0]])
    bias = torch.zeros(2)
    targets = torch.tensor([0, 1])
    expected = plain_loss(hidden, targets, weight, bias)
    torch.testing.assert_close(full_softmax_loss(hidden, targets, weight, bias), expected)


def test_hidden_states_in_bfloat16_give_weights_a_float32_gradient(
    layer: tuple[Tensor, Tensor, Tensor],
) -> None:
    targets = drawn_targets(N, torch.Generator().manual_seed(3))
    hidden, weight, bias = (x.clone().requires_grad_() for x in layer)
    half = hidden.detach().bfloat16().requires_grad_()
    loss = full_softmax_loss(half, targets, weight, bias)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(float(plain_loss(layer[0], targets, *layer[1:])), rel=0.01)
    torch.autograd.backward(loss)
    assert half.grad is not None
    assert half.grad.dtype == torch.bfloat16
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
    slow = [x.clone().requires_grad_() for x in layer]
    torch.autograd.backward(plain_loss(slow[0], targets, *slow[1:]))
    assert slow[1].grad is not None
    assert (weight.grad - slow[1].grad).norm() < 0.02 * slow[1].grad.norm()
