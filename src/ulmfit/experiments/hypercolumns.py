"""Hypercolumns: the activations of all layers of a frozen language model as features.

What the paper sets itself against (sections 1 and 2: "fixed features", Peters et al. 2017, McCann
et al. 2017). A document becomes [h_T, maxpool(H), meanpool(H)] of the embedding and of every LSTM
layer; the classifier on them is a logistic regression, its strength chosen on the validation set.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ulmfit.config import Dropouts
from ulmfit.data.batches import backwards, length_groups, pad
from ulmfit.data.datasets import Dataset, training_rows
from ulmfit.experiments.baselines import class_columns
from ulmfit.model.awd_lstm import AWDLSTM
from ulmfit.model.concat_pooling import empty_pool, update_pool
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.train.evaluate import EVAL_TOKENS

# C of the regression: thousands of standardised features need a strong penalty.
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03)
DEFAULT_STRENGTH = 0.003  # where there is no validation set
_STEPS = 500

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Hypercolumns:
    """A fitted regression on the activations of a language model.

    Attributes:
        labels: class names, by column.
        strength: the one that was chosen.
    """

    labels: list[str]
    strength: float
    _lm: TrainedLM
    _encoder: AWDLSTM
    _regression: Any

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """Probabilities, (N, C)."""
        features = document_features(self._lm, self._encoder, list(texts))
        return np.asarray(self._regression.predict_proba(features))


def fit_hypercolumns(lm: TrainedLM, train: Dataset, valid: Dataset | None) -> Hypercolumns:
    """Fit on the features of the training texts.

    Args:
        lm: language model, whose weights stay as they are.
        train: labelled texts.
        valid: held-out ones, which choose the strength; None to take `DEFAULT_STRENGTH`.

    Raises:
        InputError: no labels, no text, or only one class.
    """
    train = training_rows(train)
    encoder = lm.model(Dropouts()).eval().requires_grad_(False).encoder
    features = document_features(lm, encoder, train.texts)
    targets = class_columns(train, train.classes)
    if valid is None:
        regression = _regression(features, targets, DEFAULT_STRENGTH)
        return Hypercolumns(train.classes, DEFAULT_STRENGTH, lm, encoder, regression)
    held_out = document_features(lm, encoder, valid.texts)
    truth = class_columns(valid, train.classes)
    tried = [(strength, _regression(features, targets, strength)) for strength in STRENGTHS]
    errors = [float((r.predict(held_out) != truth).mean()) for _, r in tried]
    strength, regression = tried[int(np.argmin(errors))]
    return Hypercolumns(train.classes, strength, lm, encoder, regression)


@torch.no_grad()
def document_features(lm: TrainedLM, encoder: AWDLSTM, texts: Sequence[str]) -> Features:
    """Last, largest and mean activation of every layer over a document.

    Args:
        lm: says the words and the direction.
        encoder: its encoder, in evaluation mode.
        texts: N documents.

    Returns:
        (N, 3 (E + sum of the layers' H)).
    """
    documents = lm.tokenizer.encode_batch(list(texts))
    ordered = backwards(documents) if lm.direction == "backward" else documents
    lengths = np.array([len(document) for document in ordered], dtype=np.int64)
    found: list[tuple[NDArray[np.int64], Features]] = []
    for rows in length_groups(lengths, EVAL_TOKENS, chunk=int(lengths.max())):
        batch = pad(ordered, rows)
        tokens, real = torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths)
        every = torch.ones(len(rows), dtype=torch.bool)
        pooled = [
            update_pool(empty_pool(len(rows), layer.size(2), layer), layer, real, every).concat()
            for layer in layer_activations(encoder, tokens)
        ]
        found.append((rows, torch.cat(pooled, dim=1).numpy()))
    features = np.empty((len(ordered), found[0][1].shape[1]), dtype=np.float32)
    for rows, part in found:
        features[rows] = part
    return features


def layer_activations(encoder: AWDLSTM, tokens: Tensor) -> list[Tensor]:
    """Embedding and output of each LSTM layer, from the bottom up: (B, T) -> each (B, T, size)."""
    layers = [encoder.embedding(tokens)]
    for rnn in encoder.rnns:
        assert isinstance(rnn, nn.LSTM)
        layers.append(rnn(layers[-1])[0])
    return layers


def _regression(features: Features, targets: NDArray[np.int64], strength: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=_STEPS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted.fit(features, targets)
    return fitted
