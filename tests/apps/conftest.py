"""Language models that train in a moment and still learn `tiny.labelled_texts`."""

from __future__ import annotations

from pathlib import Path
from string import ascii_lowercase

import pytest
import torch

from tests import tiny
from ulmfit.apps.language_models import save_lms
from ulmfit.config import Direction, LMConfig
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.model.language_model import LanguageModel
from ulmfit.stages.lm_folder import TrainedLM


@pytest.fixture(scope="session")
def words() -> Tokenizer:
    """The words of `tiny.labelled_texts`, and those for numbers: `q`, a column, a value."""
    numbers = [f"q{column}{value}" for column in ascii_lowercase for value in ascii_lowercase[:13]]
    texts = [*tiny.labelled_texts(200)[0], *numbers]
    return Tokenizer.train(texts, kind="word", vocab_size=1000, min_freq=1)


def make_lm(words: Tokenizer, direction: Direction, seed: int) -> TrainedLM:
    """One small layer with random weights; words lie far apart, so that they are told apart."""
    torch.manual_seed(seed)
    config = LMConfig(vocab_size=words.vocab_size, emb_size=16, hidden_size=16, n_layers=1)
    weights = LanguageModel(config, tiny.NO_DROPOUT).state_dict()
    weights = {name: value.detach().clone() for name, value in weights.items()}
    weights["encoder.embedding.weight"] *= 10
    info = {"corpus": "none", "licence": "Apache-2.0"}
    return TrainedLM(config, direction, words, weights, info, {"perplexity": 12.5})


@pytest.fixture(scope="session")
def lm_folder(tmp_path_factory: pytest.TempPathFactory, words: Tokenizer) -> Path:
    """A folder with a language model of either direction."""
    path = tmp_path_factory.mktemp("lms") / "tiny"
    save_lms(
        {"forward": make_lm(words, "forward", 0), "backward": make_lm(words, "backward", 1)}, path
    )
    return path
