"""Stage 2: fine-tune a pretrained language model on the target task's text (section 3.2)."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ulmfit.config import LMConfig
from ulmfit.data.corpus import TokenCorpus, build_corpus
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.data.vocab import merge_vocab
from ulmfit.model.language_model import LanguageModel
from ulmfit.model.vocab_transfer import transfer_vocabulary
from ulmfit.runtime import seed_everything
from ulmfit.settings import FinetuneLMSettings, RateSettings
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.stages.lm_training import (
    LMData,
    RunContext,
    effort,
    regularization_share,
    train_language_model,
    word_counts,
)
from ulmfit.train.evaluate import LMScore

Texts = Callable[[], Iterable[str]]


def task_tokenizer(base: Tokenizer, texts: Texts, settings: FinetuneLMSettings) -> Tokenizer:
    """The vocabulary of the fine-tuned LM.

    Subwords stay as they are; words become those of the task's text, the pretrained vocabulary's
    own words behind them if `settings.vocab` is "union".
    """
    if base.kind != "word":
        return base
    task = Tokenizer.train(
        texts(), kind="word", vocab_size=settings.max_vocab, min_freq=settings.min_freq
    )
    if settings.vocab == "task":
        return task
    return base.with_vocab(merge_vocab(task.vocab, base.vocab, max_size=settings.max_vocab))


def is_held_out(text: str, fraction: float) -> bool:
    """Whether a document belongs to the validation part: decided by its own text alone.

    The same document goes to the same part in every run and wherever it stands in a stream; copies
    of a document cannot be on both sides.
    """
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2**64


def pack_task_corpus(
    texts: Texts, tokenizer: Tokenizer, fraction: float, folder: Path
) -> tuple[TokenCorpus, TokenCorpus | None]:
    """Write the task's text as a training and a validation corpus below `folder`.

    Returns:
        Training corpus; validation corpus, None if it would be too small to say anything, or the
        greater part: then all text is for training.
    """
    if fraction == 0:
        return build_corpus(texts(), tokenizer, folder / "train"), None
    packed = []
    for name, wanted in (("train", False), ("valid", True)):
        documents = (text for text in texts() if is_held_out(text, fraction) == wanted)
        packed.append(build_corpus(documents, tokenizer, folder / name))
    train, valid = packed
    # One document may be most of the text.
    if valid.n_tokens < MIN_VALID_TOKENS or valid.n_tokens > train.n_tokens:
        shutil.rmtree(folder / "valid")
        return build_corpus(texts(), tokenizer, folder / "train"), None
    return train, valid


# With TREC-6's 62,000 tokens, read three times instead of five, three seeds show no difference with
# 100 and 500 labels; a text of 100 questions alone made more errors (docs/log.md, "how many epochs
# of LM fine-tuning does a short text need?"). Longer texts are taken to need no more: not measured.
# Ours.
ENOUGH_TOKENS, LEAST_PASSES = 180_000, 3

# After a twentieth of IMDb: perplexity 124 with the rates for short texts and whole dropouts, 109
# with a fifth of them, 91 with these rates as well. Ours, docs/log.md, "how to fine-tune a language
# model on a long text?".
LONG_TEXT, FEW_PASSES = 1_000_000, 2
LONG_TEXT_RATES = RateSettings(lr=8e-3, kind="uniform")

# Under so many tokens the validation loss is too noisy to choose an epoch by: train on all text.
MIN_VALID_TOKENS = 2_000


def finetune_lm(
    base: TrainedLM,
    tokenizer: Tokenizer,
    train: TokenCorpus,
    valid: TokenCorpus | None,
    settings: FinetuneLMSettings,
    context: RunContext,
) -> TrainedLM:
    """Fine-tune all layers of an LM with discriminative rates and STLR.

    Args:
        base: the pretrained LM.
        tokenizer: vocabulary wanted (`task_tokenizer`).
        train: the task's text.
        valid: held-out part of it.
        settings: training.
        context: device, folder, display, seed.
    """
    asked, settings = settings, fitted_to_length(settings, train.n_tokens)
    passes = passes_over(train.n_tokens, settings)
    if passes < asked.epochs:
        context.display.note(
            f"{float(f'{passes:.2g}'):g} epochs instead of {asked.epochs}, because there is much "
            f"to read (finetune_lm.{'by_length' if passes == settings.epochs else 'max_tokens'})"
        )
    seed_everything(context.seed)
    model = adapted_model(base, tokenizer.vocab, settings)
    model.to(context.accelerator.device)
    counts = word_counts(train, tokenizer.vocab_size)
    data = LMData(train, valid, base.direction, counts, base.weights)
    result = train_language_model(model, data, settings, context)
    metrics = dict(result.best)
    if valid is not None and "valid_loss" in metrics:  # of a part, if there is much of it
        nll = metrics["valid_loss"] * valid.n_tokens
        score = LMScore(nll, valid.n_tokens, valid.n_words, valid.n_chars)
        metrics = {**score.figures(), **metrics}
    return TrainedLM(
        config=model.config,
        direction=base.direction,
        tokenizer=tokenizer,
        weights={name: value.cpu() for name, value in model.state_dict().items()},
        info={**base.info, "settings": settings.model_dump()},
        metrics={**metrics, **effort(result)},
    )


def fitted_to_length(settings: FinetuneLMSettings, n_tokens: int) -> FinetuneLMSettings:
    """Settings for a text of so many tokens; what somebody has chosen stays as it is.

    Short texts need more passes. Dropouts, AR and TAR go by the passes over the text. A long text
    that is read once or twice can take all layers further away from the pretrained ones: one large
    rate for all of them.
    """
    if not settings.by_length:
        return settings
    usual = FinetuneLMSettings()
    epochs = settings.epochs
    if settings.is_open("epochs"):
        enough = math.ceil(ENOUGH_TOKENS / max(1, n_tokens))
        epochs = min(epochs, max(LEAST_PASSES, enough))
    passes = passes_over(n_tokens, settings.model_copy(update={"epochs": epochs}))
    share = regularization_share(passes)
    wanted: dict[str, object] = {
        "epochs": epochs,
        "dropouts": usual.dropouts.scaled(share),
        "ar_alpha": usual.ar_alpha * share,
        "tar_beta": usual.tar_beta * share,
    }
    if passes <= FEW_PASSES and n_tokens >= LONG_TEXT:
        wanted["rates"] = LONG_TEXT_RATES
    changes = {k: v for k, v in wanted.items() if settings.is_open(k)}
    return settings.model_copy(update=changes)


def passes_over(n_tokens: int, settings: FinetuneLMSettings) -> float:
    """How often a text of so many tokens is read: `epochs` times, or as `max_tokens` allows."""
    read = settings.epochs * n_tokens
    return min(read, settings.max_tokens or read) / max(1, n_tokens)


def adapted_model(
    base: TrainedLM, vocab: Sequence[str], settings: FinetuneLMSettings
) -> LanguageModel:
    """The pretrained LM with another vocabulary and this stage's dropouts."""
    config = LMConfig(**{**base.config.model_dump(), "vocab_size": len(vocab)})
    model = LanguageModel(config, settings.dropouts)
    model.load_state_dict(transfer_vocabulary(base.weights, base.tokenizer.vocab, vocab))
    return model
