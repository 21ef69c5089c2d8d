from __future__ import annotations

import numpy as np
import pytest
import torch

from tests import tiny
from ulmfit.config import Direction, Dropouts
from ulmfit.data.datasets import Dataset
from ulmfit.experiments.hypercolumns import (
    DEFAULT_STRENGTH,
    STRENGTHS,
    document_features,
    fit_hypercolumns,
    layer_activations,
)

SIZES = (6, 8, 6)  # embedding and two layers of the tiny model


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_features_are_last_largest_and_mean_of_every_layer(direction: Direction) -> None:
    lm = tiny.trained_lm(tiny.tokenizer(), direction)
    encoder = lm.model(Dropouts()).eval().encoder
    texts = ["the film was lovely .", "the song was dull and the story was great ."]
    found = document_features(lm, encoder, texts)
    assert found.shape == (2, 3 * sum(SIZES))
    for row, text in enumerate(texts):
        ids = lm.tokenizer.encode_batch([text])[0].astype(np.int64)
        ordered = ids[::-1].copy() if direction == "backward" else ids
        with torch.no_grad():
            layers = layer_activations(encoder, torch.from_numpy(ordered)[None])
        parts = [torch.cat([h[0, -1], h[0].amax(0), h[0].mean(0)]) for h in layers]
        assert np.allclose(found[row], torch.cat(parts), atol=1e-6), "padding changes nothing"


def test_the_top_layer_is_the_encoder_s_output() -> None:
    lm = tiny.trained_lm(tiny.tokenizer())
    encoder = lm.model(Dropouts()).eval().encoder
    tokens = torch.randint(2, 20, (2, 7))
    with torch.no_grad():
        layers = layer_activations(encoder, tokens)
        output = encoder(tokens, encoder.initial_state(2)).raw
    assert [layer.size(2) for layer in layers] == list(SIZES)
    assert torch.allclose(layers[-1], output, atol=1e-6)


def test_the_regression_learns_and_the_language_model_does_not_change() -> None:
    lm = tiny.trained_lm(tiny.tokenizer())
    before = {name: value.clone() for name, value in lm.weights.items()}
    train, valid = (Dataset(*tiny.labelled_texts(n, seed)) for n, seed in ((80, 0), (20, 1)))
    model = fit_hypercolumns(lm, train, valid)
    assert model.strength in STRENGTHS
    answers = model.predict_proba(valid.texts).argmax(axis=1)
    wrong = [model.labels[a] != t for a, t in zip(answers, valid.labels or (), strict=True)]
    assert sum(wrong) <= 4
    assert all(torch.equal(before[name], value) for name, value in lm.weights.items())
    assert fit_hypercolumns(lm, train, None).strength == DEFAULT_STRENGTH
