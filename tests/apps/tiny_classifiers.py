"""Classifiers that have learnt nothing, but do not answer all texts alike either."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tests import tiny
from ulmfit.apps.predictor import Predictor
from ulmfit.config import ClassifierConfig, Direction, LMConfig
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel
from ulmfit.stages.classifier_folder import TrainedClassifier
from ulmfit.stages.fit_ngrams import fit_ngrams
from ulmfit.stages.folder_config import Calibration

WORDS = tiny.tokenizer()
TEXTS = [
    *tiny.labelled_texts(30, seed=3)[0],
    "",  # one token
    "unknown words only",
    "lovely",
    "the film was great . " * 60,  # many chunks
    "the song was dull . " * 200,  # more than one long chunk
]


def member(
    direction: Direction = "forward",
    *,
    labels: tuple[str, ...] = ("glad", "sad", "so-so"),
    multi_label: bool = False,
    pool_tokens: int | None = None,
    words: Tokenizer = WORDS,
    lm: LMConfig | None = None,
) -> TrainedClassifier:
    """One direction; batch norms are set as if they had seen data."""
    torch.manual_seed(len(direction))
    config = ClassifierConfig(
        lm=lm or tiny.lm_config(words.vocab_size, n_layers=3),
        n_classes=len(labels),
        chunk=7,
        multi_label=multi_label,
        pool_tokens=pool_tokens,
    )
    model = TextClassifierModel(config, tiny.NO_DROPOUT, HeadDropouts())
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    weights["encoder.embedding.weight"] *= 20
    weights["head.linear2.weight"] *= 30
    for name in ("head.norm1", "head.norm2"):
        for kind in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{name}.{kind}"] += 0.3 * torch.rand(weights[f"{name}.{kind}"].shape)
    return TrainedClassifier(config, direction, labels, words, weights)


def both(
    *,
    labels: tuple[str, ...] = ("glad", "sad", "so-so"),
    multi_label: bool = False,
    pool_tokens: int | None = None,
    temperature: float = 1.0,
) -> Predictor:
    """Both directions."""
    members = [
        member(direction, labels=labels, multi_label=multi_label, pool_tokens=pool_tokens)
        for direction in ("forward", "backward")
    ]
    calibration = Calibration(temperature=temperature)
    return Predictor([replace(part, calibration=calibration) for part in members], device="cpu")


def counting(predictor: Predictor, share: float = 0.8) -> Predictor:
    """The same with a member that counts words."""
    documents = predictor.members[0].tokenizer.encode_batch(TEXTS)
    classes = np.arange(len(TEXTS)) * len(predictor.labels) // len(TEXTS)
    targets = np.eye(len(predictor.labels))[classes]
    member = fit_ngrams(documents, targets, multi_label=predictor.multi_label, seed=0)
    first, *others = predictor.members
    first = replace(first, ngrams=replace(member, share=share))
    return Predictor([first, *others], device="cpu")
