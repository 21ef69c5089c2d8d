"""Stage 1: pretrain a language model on general text (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from torch import Tensor

from ulmfit.config import Direction, LMConfig
from ulmfit.data.corpus import TokenCorpus, build_corpus
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import SettingsError
from ulmfit.model.language_model import LanguageModel
from ulmfit.runtime import seed_everything
from ulmfit.settings import PretrainSettings
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.stages.lm_training import (
    LMData,
    RunContext,
    effort,
    train_language_model,
    word_counts,
)
from ulmfit.stages.sample_text import Sampler
from ulmfit.storage import atomic_write
from ulmfit.train.evaluate import score_language_model

Texts = Callable[[], Iterable[str]]


def prepare_corpus(
    texts: Texts, valid_texts: Texts, settings: PretrainSettings, folder: Path
) -> tuple[Tokenizer, TokenCorpus, TokenCorpus]:
    """Learn the vocabulary and pack both corpora; work that is done is not repeated.

    Args:
        texts: opens the training documents anew on each call: they are read twice.
        valid_texts: the held-out ones.
        settings: vocabulary.
        folder: gets `tokenizer.json`, `train/` and `valid/`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    saved = folder / "tokenizer.json"
    if saved.exists():
        tokenizer = Tokenizer.from_json(saved.read_text(encoding="utf-8"))
    else:
        text = settings.text
        tokenizer = Tokenizer.train(
            texts(), kind=text.kind, vocab_size=text.vocab_size, min_freq=text.min_freq
        )
        atomic_write(saved, tokenizer.to_json().encode())
    packed = []
    for name, source in (("train", texts), ("valid", valid_texts)):
        if not (folder / name).exists():
            build_corpus(source(), tokenizer, folder / name)
        packed.append(TokenCorpus.open(folder / name, tokenizer=tokenizer))
    return tokenizer, packed[0], packed[1]


def pretrain(
    tokenizer: Tokenizer,
    train: TokenCorpus,
    valid: TokenCorpus,
    settings: PretrainSettings,
    context: RunContext,
    *,
    direction: Direction,
    info: dict[str, object],
    start: TrainedLM | None = None,
) -> TrainedLM:
    """Train a language model on general text.

    Args:
        tokenizer: vocabulary of both corpora.
        train: training tokens.
        valid: held-out tokens.
        settings: sizes and training.
        context: device, folder, display, seed.
        direction: reading order.
        info: what to say of the corpus in the model's folder.
        start: a language model of the same vocabulary and sizes whose weights to start from, None
            for random ones. The other direction's will do: words mean the same read backward.
    """
    seed_everything(context.seed)
    config = LMConfig(
        vocab_size=tokenizer.vocab_size,
        emb_size=settings.emb_size,
        hidden_size=settings.hidden_size,
        n_layers=settings.n_layers,
    )
    model = LanguageModel(config, settings.dropouts)
    counts = word_counts(train, config.vocab_size)
    model.init_bias_from_counts(counts)
    if start is not None:
        model.load_state_dict(_checked_start(start, config, tokenizer))
    model.to(context.accelerator.device)
    first_weights = start.weights if start is not None else None
    data = LMData(train, valid, direction, counts, first_weights)
    sampler = Sampler(tokenizer, direction, context.display)
    result = train_language_model(model, data, settings, context, validated=sampler)
    score = score_language_model(model, valid, backward=direction == "backward")
    metrics = {**score.figures(), **effort(result)}
    weights = {name: value.cpu() for name, value in model.state_dict().items()}
    info = {**info, "settings": settings.model_dump()}
    return TrainedLM(config, direction, tokenizer, weights, info, metrics)


def _checked_start(start: TrainedLM, config: LMConfig, tokenizer: Tokenizer) -> dict[str, Tensor]:
    """The weights of `start`, if they fit."""
    if start.config != config or start.tokenizer.vocab != tokenizer.vocab:
        raise SettingsError(
            f"the language model to start from has sizes {start.config.model_dump()}",
            expected=f"{config.model_dump()} and the same vocabulary",
            hint="Take its settings and its corpus, or leave the start out.",
        )
    return start.weights
