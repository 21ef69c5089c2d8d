"""The tied softmax against one word at a time."""

from __future__ import annotations

import torch

from tests.reference.language_model import loss, scores
from tests.reference.project import assert_equal, fill, gradients
from ulmfit.config import Dropouts, LMConfig
from ulmfit.model.language_model import LanguageModel
from ulmfit.model.softmax import full_softmax_loss, summed_nll

V, E, B, T = 11, 4, 2, 5


def language_model() -> LanguageModel:
    config = LMConfig(vocab_size=V, emb_size=E, hidden_size=6, n_layers=2)
    model = LanguageModel(
        config, Dropouts(output_p=0, hidden_p=0, input_p=0, embed_p=0, weight_p=0)
    )
    fill(model, seed=1)
    return model.double()


def test_logits_are_the_tied_scores() -> None:
    model = language_model().eval()
    output = model(torch.randint(V, (B, T)), model.encoder.initial_state(B))
    logits = model.logits(output.dropped)
    for b in range(B):
        for t in range(T):
            expected = scores(output.raw[b, t], model.encoder.embedding.weight, model.decoder_bias)
            assert_equal(logits[b, t], expected)


def test_the_embedding_gets_the_gradients_of_both_its_uses() -> None:
    model = language_model().float()
    tokens, targets = torch.tensor([[2, 3, 2]]), torch.tensor([[3, 2, 9]])
    hidden = model(tokens, model.encoder.initial_state(1)).dropped
    weight = model.encoder.embedding.weight
    ours = full_softmax_loss(hidden.flatten(0, 1), targets.flatten(), weight, model.decoder_bias)
    printed = loss(list(hidden), targets.tolist(), weight, model.decoder_bias)
    assert_equal(ours, printed, 1e-6)
    assert_equal(gradients(ours, model), gradients(printed, model), 1e-6)
    assert gradients(ours, model)["encoder.embedding.weight"].abs().sum(1).min() > 0


def test_the_summed_loss_in_blocks_is_the_mean_loss_times_the_words() -> None:
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(2500, E, generator=generator)  # more than two blocks of rows
    targets = torch.randint(V, (2500,), generator=generator)
    weight, bias = torch.randn(V, E, generator=generator), torch.randn(V, generator=generator)
    mean = full_softmax_loss(hidden, targets, weight, bias)
    assert_equal(summed_nll(hidden, targets, weight, bias) / 2500, mean, 1e-6)
