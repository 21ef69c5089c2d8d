"""Multi-task learning: the language model's objective beside the classifier's, from scratch.

What the paper sets itself against (sections 1 and 2, after Rei 2017): one encoder, trained from
random weights for every task anew on both losses at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ulmfit.config import ClassifierConfig, LMConfig
from ulmfit.data.batches import DocumentBatch, DocumentBatches
from ulmfit.data.corpus import TokenCorpus
from ulmfit.data.datasets import Dataset
from ulmfit.data.rules import PAD_ID
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.experiments.language_models import lm_sizes
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel
from ulmfit.optim.unfreezing import full
from ulmfit.runtime import seed_everything
from ulmfit.settings import ClassifierSettings, Settings
from ulmfit.stages.classifier_course import fitted_to_length
from ulmfit.stages.finetune_classifier import (
    ClassifierLoss,
    Targets,
    check_settings,
    classification_metrics,
    one_hot,
)
from ulmfit.stages.lm_training import RunContext, word_counts
from ulmfit.train.checkpoint import Checkpoints
from ulmfit.train.evaluate import predict_logits
from ulmfit.train.loop import Carry, Job, Metrics, Options, StepResult, fit
from ulmfit.train.tracker import Tracker

# Weight of the language model's loss (Rei 2017, section 3: gamma = 0.1).
LM_WEIGHT = 0.1


class MultiTaskModel(TextClassifierModel):
    """A classifier whose encoder also predicts the next word, by its own embedding.

    Args:
        config: sizes.
        settings: dropouts.
    """

    def __init__(self, config: ClassifierConfig, settings: ClassifierSettings) -> None:
        first_p, second_p = settings.head_p
        heads = HeadDropouts(first_p=first_p, second_p=second_p)
        super().__init__(config, settings.dropouts, heads)
        self.decoder_bias = nn.Parameter(torch.zeros(config.lm.vocab_size))

    def lm_loss(self, tokens: Tensor) -> Tensor:
        """Mean nats of the next word over a window, (B, T) of which padding does not count."""
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        hidden = self.encoder(inputs, self.encoder.initial_state(tokens.size(0))).dropped
        real = targets != PAD_ID
        scores = F.linear(hidden[real], self.encoder.embedding.weight, self.decoder_bias)
        return F.cross_entropy(scores.float(), targets[real])

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """All of it as one group: nothing is known that should be kept."""
        return [list(self.parameters())]


class MultiTaskLoss(ClassifierLoss):
    """The classifier's loss plus `LM_WEIGHT` times the LM's on a window of the batch."""

    def __call__(self, batch: DocumentBatch, carry: Carry) -> StepResult:
        """One batch; the window begins at random, so that all of long documents is seen."""
        assert isinstance(self.model, MultiTaskModel)
        classified = super().__call__(batch, carry)
        width = batch.tokens.shape[1]
        if width < 2:
            return classified
        chunk = self.settings.chunk + 1
        # Within the shorter half of the batch: half of the rows at least have a full window.
        latest = max(0, int(np.median(batch.lengths)) - chunk)
        start = int(torch.randint(latest + 1, ()))
        window = torch.from_numpy(batch.tokens[:, start : start + chunk]).to(self.device)
        loss = classified.loss + LM_WEIGHT * self.model.lm_loss(window)
        return replace(classified, loss=loss)


def train_multitask(
    train: Dataset,
    valid: Dataset | None,
    classes: list[str],
    settings: Settings,
    sizes: LMConfig | None,
    context: RunContext,
) -> Callable[[list[str]], NDArray[np.float32]]:
    """Train both objectives from random weights, all layers at one rate.

    Args:
        train: labelled texts.
        valid: held-out ones, which choose the epoch; None to keep the last.
        classes: class names, by column.
        settings: words as LM fine-tuning takes them, the rest as the classifier has it.
        sizes: of the encoder; None for those of pretraining.
        context: device, folder, display, seed.

    Returns:
        Texts to scores, (N, C).
    """
    check_settings(settings.classifier)
    words = settings.finetune_lm
    assert words is not None
    tokenizer = Tokenizer.train(
        train.texts, kind="word", vocab_size=words.max_vocab, min_freq=words.min_freq
    )
    documents = tokenizer.encode_batch(train.texts)
    course = fitted_to_length(settings.classifier, documents)
    seed_everything(context.seed)
    config = ClassifierConfig(
        lm=lm_sizes(sizes, settings.pretrain, tokenizer.vocab_size),
        n_classes=len(classes),
        head_size=course.head_size,
        chunk=course.chunk,
        pool_tokens=course.pool_tokens,
    )
    model = MultiTaskModel(config, course)
    counts = word_counts(TokenCorpus.from_ids(documents), tokenizer.vocab_size).double() + 1.0
    with torch.no_grad():
        model.decoder_bias.copy_((counts / counts.sum()).log())
    model.to(context.accelerator.device)
    assert train.labels is not None
    held_out = None
    if valid is not None and valid.labels is not None:
        held_out = tokenizer.encode_batch(valid.texts), one_hot(valid.labels, classes)
    _fit(model, (documents, one_hot(train.labels, classes)), held_out, course, context)
    return lambda texts: predict_logits(model, tokenizer.encode_batch(texts))


def _fit(
    model: MultiTaskModel,
    train: tuple[list[NDArray[np.int32]], Targets],
    valid: tuple[list[NDArray[np.int32]], Targets] | None,
    settings: ClassifierSettings,
    context: RunContext,
) -> None:
    def validate() -> Metrics:
        assert valid is not None
        return classification_metrics(predict_logits(model, valid[0]), valid[1], multi_label=False)

    batches = DocumentBatches(train[0], settings.batch_size, seed=context.seed)
    job = Job(
        model=model,
        groups=model.layer_groups(),
        batches=batches,
        loss=MultiTaskLoss(model, settings, train[1]),
        validate=validate if valid is not None else None,
        monitor="error",
        plan=full([settings.rates.lr], settings.epochs),
    )
    options = Options(
        optimizer=settings.optimizer,
        schedule=settings.schedule,
        checkpoint_seconds=context.checkpoint_seconds,
        resume=context.resume,
        deadline=context.deadline,
        unit="documents",
        identity={"settings": settings.model_dump(mode="json"), "seed": context.seed},
    )
    tracker = Tracker(context.folder / "log.jsonl", context.display)
    checkpoints = Checkpoints(context.folder / "checkpoints")
    fit(job, options, context.accelerator, tracker, checkpoints)
