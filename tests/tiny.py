"""Hand-made small things that train in a moment: texts, corpora, models, settings."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ulmfit.config import ClassifierConfig, Direction, Dropouts, LMConfig
from ulmfit.data.corpus import TokenCorpus
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel
from ulmfit.model.language_model import LanguageModel
from ulmfit.runtime import make_accelerator
from ulmfit.settings import FinetuneLMSettings, RateSettings
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.stages.lm_training import RunContext
from ulmfit.train.tracker import Display, Silent

GLAD = ("lovely", "great", "wonderful", "bright", "fine")
SAD = ("awful", "boring", "terrible", "dull", "poor")
THINGS = ("film", "story", "actor", "song", "scene", "ending")


def labelled_texts(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Sentences, and whether they are "glad" or "sad": an adjective tells."""
    draw = random.Random(seed)
    texts, labels = [], []
    for row in range(n):
        label, words = ("glad", GLAD) if row % 2 == 0 else ("sad", SAD)
        parts = [
            f"the {draw.choice(THINGS)} was {draw.choice(words)}" for _ in range(draw.randint(1, 3))
        ]
        texts.append(" and ".join(parts) + " .")
        labels.append(label)
    return texts, labels


def tokenizer(n: int = 200) -> Tokenizer:
    """The words of `labelled_texts`."""
    return Tokenizer.train(labelled_texts(n)[0], kind="word", vocab_size=200, min_freq=1)


def corpus(words: Tokenizer, n: int, seed: int = 0) -> TokenCorpus:
    """Sentences as one stream, in memory."""
    texts = labelled_texts(n, seed)[0]
    found = TokenCorpus.from_ids(words.encode_batch(texts))
    found.n_words, found.n_chars = sum(len(t.split()) for t in texts), sum(map(len, texts))
    return found


def random_corpus(lengths: list[int], vocab_size: int = 50, seed: int = 0) -> TokenCorpus:
    """Documents of random words."""
    rng = np.random.default_rng(seed)
    return TokenCorpus.from_ids([rng.integers(0, vocab_size, n, dtype=np.int32) for n in lengths])


def documents(lengths: list[int], vocab_size: int = 50, seed: int = 0) -> list[NDArray[np.int32]]:
    """Random words, none of them padding."""
    rng = np.random.default_rng(seed)
    return [rng.integers(2, vocab_size, n, dtype=np.int32) for n in lengths]


NO_DROPOUT = Dropouts(output_p=0, hidden_p=0, input_p=0, embed_p=0, weight_p=0)


def lm_config(vocab_size: int = 50, n_layers: int = 2) -> LMConfig:
    return LMConfig(vocab_size=vocab_size, emb_size=6, hidden_size=8, n_layers=n_layers)


def lm_model(vocab_size: int = 50, dropouts: Dropouts = NO_DROPOUT) -> LanguageModel:
    torch.manual_seed(1)
    return LanguageModel(lm_config(vocab_size), dropouts)


def classifier_model(
    *,
    n_classes: int = 3,
    chunk: int = 5,
    multi_label: bool = False,
    pool_tokens: int | None = None,
    dropouts: Dropouts = NO_DROPOUT,
    head_p: float = 0.0,
) -> TextClassifierModel:
    torch.manual_seed(2)
    config = ClassifierConfig(
        lm=lm_config(),
        n_classes=n_classes,
        head_size=7,
        chunk=chunk,
        multi_label=multi_label,
        pool_tokens=pool_tokens,
    )
    return TextClassifierModel(config, dropouts, HeadDropouts(first_p=head_p, second_p=head_p))


def trained_lm(
    words: Tokenizer, direction: Direction = "forward", seed: int = 0, n_layers: int = 2
) -> TrainedLM:
    """A language model that has not learnt anything."""
    torch.manual_seed(seed)
    model = LanguageModel(lm_config(words.vocab_size, n_layers), NO_DROPOUT)
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    return TrainedLM(model.config, direction, words, weights)


def context(
    folder: Path,
    *,
    display: Display | None = None,
    seed: int = 0,
    resume: bool = False,
    checkpoint_seconds: float = 0.0,
) -> RunContext:
    """Surroundings of a stage that saves at every step."""
    return RunContext(
        make_accelerator(cpu=True),
        folder,
        display if display is not None else Silent(),
        seed,
        resume,
        checkpoint_seconds,
    )


def lm_settings(*, epochs: int = 2, lr: float = 0.05) -> FinetuneLMSettings:
    return FinetuneLMSettings(
        epochs=epochs, batch_size=4, bptt=6, min_freq=1, rates=RateSettings(lr=lr)
    )
