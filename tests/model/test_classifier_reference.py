"""The whole classifier against its reference: scores, loss and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from tests.reference.bpt3c import bpt3c
from tests.reference.classifier import head
from tests.reference.language_model import negative_log_likelihood
from tests.reference.project import assert_equal, fill, gradients, head_weights, layers
from ulmfit.config import ClassifierConfig, Dropouts, LMConfig
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel

V, C, CHUNK = 17, 3, 4
LENGTHS = (9, 2, 13, 6)
LABELS = (2, 0, 1, 1)


def classifier() -> TextClassifierModel:
    lm = LMConfig(vocab_size=V, emb_size=5, hidden_size=6, n_layers=2)
    config = ClassifierConfig(lm=lm, n_classes=C, head_size=7, chunk=CHUNK, pool_tokens=8)
    none = Dropouts(output_p=0, hidden_p=0, input_p=0, embed_p=0, weight_p=0)
    model = TextClassifierModel(config, none, HeadDropouts(first_p=0, second_p=0)).double()
    fill(model, seed=4)
    generator = torch.Generator().manual_seed(5)
    for norm in (model.head.norm1, model.head.norm2):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(torch.randn(norm.num_features, generator=generator))
        norm.running_var.copy_(torch.rand(norm.num_features, generator=generator) + 0.5)
    return model


def documents() -> tuple[Tensor, Tensor, list[list[int]]]:
    generator = torch.Generator().manual_seed(6)
    rows = [torch.randint(V, (n,), generator=generator) for n in LENGTHS]
    padded = pad_sequence(rows, batch_first=True, padding_value=1)
    return padded, torch.tensor(LENGTHS), [row.tolist() for row in rows]


@pytest.mark.parametrize("training", [False, True])
def test_scores_loss_and_gradients(training: bool) -> None:
    model = classifier().train(training)
    weights = head_weights(model.head)
    tokens, lengths, rows = documents()
    pooled = [
        bpt3c(
            row,
            model.encoder.embedding.weight,
            layers(model.encoder),
            b=CHUNK,
            pool_words=8,
            grad_words=8,
        )
        for row in rows
    ]
    expected = head(pooled, weights, training=training)
    expected_loss = torch.stack(
        [negative_log_likelihood(z, label) for z, label in zip(expected, LABELS, strict=True)]
    ).mean()
    logits = model(tokens, lengths, 8).logits
    loss = F.cross_entropy(logits, torch.tensor(LABELS))
    assert_equal(logits, torch.stack(expected), 1e-10)
    assert_equal(loss, expected_loss, 1e-10)
    assert_equal(gradients(loss, model), gradients(expected_loss, model), 1e-9)


@pytest.mark.parametrize("rows", [1, 2])
def test_two_training_rows_have_statistics_and_one_takes_those_so_far(rows: int) -> None:
    head_module = classifier().train().head
    pooled = torch.randn(rows, 15, dtype=torch.float64)
    expected = head(list(pooled), head_weights(head_module), training=rows > 1)
    assert_equal(head_module(pooled), torch.stack(expected), 1e-10)


def test_order_batch_and_padding_do_not_matter() -> None:
    model = classifier().float().eval()
    tokens, lengths, rows = documents()
    together = model(tokens, lengths).logits
    wider = F.pad(tokens, (0, 9), value=1)
    assert_equal(model(wider, lengths).logits, together, 1e-6)
    assert_equal(model(tokens.flip(0), lengths.flip(0)).logits.flip(0), together, 1e-6)
    for row, logits in zip(rows, together, strict=True):
        alone = model(torch.tensor([row]), torch.tensor([len(row)])).logits[0]
        assert_equal(alone, logits, 1e-6)
