"""Stage 3: fine-tune the classifier on the labelled documents (paper, section 3.3)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ulmfit import ranks
from ulmfit.config import ClassifierConfig, Direction
from ulmfit.data.batches import DocumentBatch, DocumentBatches, backwards
from ulmfit.errors import InputError, SettingsError
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel
from ulmfit.runtime import seed_everything
from ulmfit.settings import ClassifierSettings
from ulmfit.stages.classifier_course import Documents, course_of, unfreezing_plan
from ulmfit.stages.classifier_folder import TrainedClassifier
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.stages.lm_training import RunContext
from ulmfit.stages.rates import group_rates
from ulmfit.stages.used_words import UsedWords
from ulmfit.train.checkpoint import Checkpoints, checksum
from ulmfit.train.evaluate import predict_logits
from ulmfit.train.loop import Carry, Job, Metrics, Options, StepResult, fit
from ulmfit.train.metrics import indicators
from ulmfit.train.tracker import Tracker

Targets = NDArray[np.float32]

EMBEDDING = "encoder.embedding.weight"


def one_hot(labels: Sequence[str | tuple[str, ...]], classes: Sequence[str]) -> Targets:
    """Targets, (N, C): one 1 a row, or for multi-label rows any number of them."""
    return indicators(labels, classes).astype(np.float32)


def class_weights(targets: Targets, *, multi_label: bool) -> NDArray[np.float32]:
    """Balanced weights, (C,): N / (C * n_c); for multi-label negatives / positives of the class.

    Both counts are at least one: a label that every document has still has a weight to learn by.
    """
    positives = np.maximum(targets.sum(axis=0), 1.0)
    if multi_label:
        negatives = np.maximum(len(targets) - positives, 1.0)
        return np.asarray(negatives / positives, dtype=np.float32)
    return np.asarray(len(targets) / (targets.shape[1] * positives), dtype=np.float32)


class ClassifierLoss:
    """Cross entropy (softmax or sigmoids) with AR and TAR over the real tokens.

    Args:
        model: the classifier.
        settings: penalties, gradient window.
        targets: of all training documents, (N, C); rows of several probabilities, instead of one 1,
            are soft.
    """

    def __init__(
        self, model: TextClassifierModel, settings: ClassifierSettings, targets: Targets
    ) -> None:
        self.model, self.settings = model, settings
        self.device = model.encoder.embedding.weight.device
        self.targets = torch.from_numpy(targets).to(self.device)
        self.soft = not np.isin(targets, (0, 1)).all()
        self.weights: Tensor | None = None
        if settings.class_weights == "balanced":
            weights = class_weights(targets, multi_label=model.config.multi_label)
            self.weights = torch.from_numpy(weights).to(self.device)

    def __call__(self, batch: DocumentBatch, carry: Carry) -> StepResult:
        """One batch of documents; nothing is carried from one to the next."""
        tokens = torch.from_numpy(batch.tokens).to(self.device)
        lengths = torch.from_numpy(batch.lengths).to(self.device)
        output = self.model(tokens, lengths, self.settings.grad_tokens)
        wanted = self.targets[torch.from_numpy(batch.rows).to(self.device)]
        nll = self.cross_entropy(output.logits.float(), wanted)
        share = self.share(wanted)
        penalty = self.penalty(output.hidden, output.mask)
        return StepResult(nll * share + penalty, nll.detach() * share, len(batch.rows))

    def share(self, wanted: Tensor) -> float:
        """How much the mean over these documents counts in that over all processes'; alone, 1."""
        if ranks.size() == 1:
            return 1.0
        own = float(len(wanted))
        if self.weights is not None and not self.model.config.multi_label:
            own = float((wanted @ self.weights).sum())
        return own / ranks.total("documents", own)[0]

    def cross_entropy(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """Mean over documents (and classes, for multi-label), weighted by class if asked."""
        if self.model.config.multi_label:
            return F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=self.weights)
        if not self.soft:
            return F.cross_entropy(logits, wanted.argmax(dim=1), weight=self.weights)
        weighted = wanted if self.weights is None else wanted * self.weights
        return -(weighted * logits.log_softmax(dim=1)).sum() / weighted.sum()

    def penalty(self, hidden: list[Tensor], mask: list[Tensor]) -> Tensor:
        """AR and TAR (`model.activation_reg`) as means over the real tokens of all chunks.

        Of several processes, this one's share of the means over all of theirs.
        """
        squares = self.targets.new_zeros(())
        differences, n_tokens, n_differences = squares, 0, 0
        for h, real in zip(hidden, mask, strict=True):
            h = h.float()
            both = real[:, 1:] & real[:, :-1]
            squares = squares + h[real].pow(2).sum()
            differences = differences + (h[:, 1:] - h[:, :-1])[both].pow(2).sum()
            n_tokens += int(real.sum()) * h.size(2)
            n_differences += int(both.sum()) * h.size(2)
        tokens, pairs = ranks.total("penalties", n_tokens, n_differences)
        ar = self.settings.ar_alpha * squares / max(1, tokens)
        return ar + self.settings.tar_beta * differences / max(1, pairs)


def classification_metrics(
    logits: NDArray[np.float32], targets: Targets, *, multi_label: bool
) -> Metrics:
    """Loss in nats per document, and error: share of documents with any label wrong."""
    scores, wanted = torch.from_numpy(logits), torch.from_numpy(targets)
    if multi_label:
        loss = F.binary_cross_entropy_with_logits(scores, wanted)
        wrong = ((scores > 0) != (wanted > 0.5)).any(dim=1)
    else:
        loss = F.cross_entropy(scores, wanted.argmax(dim=1))
        wrong = scores.argmax(dim=1) != wanted.argmax(dim=1)
    return {"valid_loss": float(loss), "error": float(wrong.float().mean())}


def finetune_classifier(
    lm: TrainedLM,
    train: tuple[Documents, Targets],
    valid: tuple[Documents, Targets] | None,
    labels: Sequence[str],
    settings: ClassifierSettings,
    context: RunContext,
    *,
    multi_label: bool = False,
) -> TrainedClassifier:
    """Put a fresh head on the encoder of a fine-tuned LM and train both by the unfreezing plan.

    Args:
        lm: fine-tuned LM; its tokenizer made the ids.
        train: word ids in reading order (of a forward model) and targets (N, C).
        valid: held-out ones, which choose the best epoch; None to keep the last.
        labels: class names, by column.
        settings: training.
        context: device, folder, display, seed.
        multi_label: one sigmoid per class.

    Raises:
        InputError: there is no document to train on, or none to validate on; or fewer to train on
            than processes that share them.
        SettingsError: settings that contradict each other, or the run to resume was another one.
    """
    check_settings(settings)
    _check(train, valid)
    settings, rounds = _fitted(settings, train[0], context)
    seed_everything(context.seed)
    config = ClassifierConfig(
        lm=lm.config,
        n_classes=len(labels),
        multi_label=multi_label,
        head_size=settings.head_size,
        chunk=settings.chunk,
        pool_tokens=settings.pool_tokens,
    )
    parts = [part for part in (train, valid) if part is not None]
    words = UsedWords([text for part in parts for text in part[0]], lm.config.vocab_size)
    model = _fresh_classifier(lm, config, settings, words).to(context.accelerator.device)
    identity = {
        "settings": {**settings.model_dump(), "rounds of a pass": rounds},
        "labels": [*labels, multi_label],
        "seed": context.seed,
        "data": [_checksum(part) for part in parts],
        "first weights": checksum(lm.weights),
        "words": len(words),  # so that a checkpoint with all rows is refused by name
    }
    parts = [(_as_read(part[0], lm.direction, words), part[1]) for part in parts]
    metrics = _fit(model, parts, settings, rounds, context, identity)
    return TrainedClassifier(
        config=config,
        direction=lm.direction,
        labels=tuple(labels),
        tokenizer=lm.tokenizer,
        weights=_all_weights(model, lm, words),
        info={"lm": lm.info, "settings": settings.model_dump()},
        metrics=metrics,
    )


def _fitted(
    asked: ClassifierSettings, documents: Documents, context: RunContext
) -> tuple[ClassifierSettings, int]:
    """`course_of`, and a word about it."""
    settings, rounds = course_of(asked, documents)
    if settings.epochs < asked.epochs:
        cut = f", each in {rounds} parts for gradual unfreezing" if rounds > 1 else ""
        context.display.note(
            f"{settings.epochs} epochs instead of {asked.epochs}{cut}, because there is much to "
            "read (classifier.by_length, classifier.max_tokens)"
        )
    return settings, rounds


def _as_read(documents: Documents, direction: Direction, words: UsedWords) -> Documents:
    renumbered = words.renumbered(documents)
    return backwards(renumbered) if direction == "backward" else renumbered


def _fresh_classifier(
    lm: TrainedLM, config: ClassifierConfig, settings: ClassifierSettings, words: UsedWords
) -> TextClassifierModel:
    """The LM's encoder, for these words, under a head that starts from scratch."""
    first_p, second_p = settings.head_p
    head_dropouts = HeadDropouts(first_p=first_p, second_p=second_p)
    # With all words first: which of them documents have is not to change the head's first weights.
    model = TextClassifierModel(config, settings.dropouts, head_dropouts)
    encoder = {
        name.removeprefix("encoder."): value
        for name, value in lm.weights.items()
        if name.startswith("encoder.")
    }
    model.encoder.load_state_dict(encoder)
    rows = words.rows_of(encoder["embedding.weight"])
    model.encoder.embedding.weight = nn.Parameter(rows)
    return model


def _all_weights(model: TextClassifierModel, lm: TrainedLM, words: UsedWords) -> dict[str, Tensor]:
    """The classifier's, with the LM's rows for words that it did not train."""
    weights = {name: value.cpu() for name, value in model.state_dict().items()}
    return {**weights, EMBEDDING: words.put_back(weights[EMBEDDING], lm.weights[EMBEDDING])}


def _fit(
    model: TextClassifierModel,
    parts: Sequence[tuple[Documents, Targets]],
    settings: ClassifierSettings,
    rounds: int,
    context: RunContext,
    identity: Mapping[str, object],
) -> Metrics:
    """`parts`: documents to train on, and where there are any, held-out ones."""
    train, *held_out = parts

    def validate() -> Metrics:
        documents, targets = held_out[0]
        logits = predict_logits(model, documents)
        return classification_metrics(logits, targets, multi_label=model.config.multi_label)

    groups = model.layer_groups()
    part = (ranks.rank(), ranks.size())
    batches = DocumentBatches(
        train[0], settings.batch_size, seed=context.seed, part=part, rounds=rounds
    )
    job = Job(
        model=model,
        groups=groups,
        batches=batches,
        loss=ClassifierLoss(model, settings, train[1]),
        validate=validate if held_out else None,
        # The loss is lowest before the error is, as confidence still grows, which calibration takes
        # back. On TREC-6 the epoch of the least loss made 0.7 points more errors: docs/log.md,
        # "which epoch of a classifier is the best?".
        monitor="error",
        plan=unfreezing_plan(settings, len(groups), rounds),
    )
    options = Options(
        optimizer=settings.optimizer,
        schedule=settings.schedule,
        patience=settings.patience,
        checkpoint_seconds=context.checkpoint_seconds,
        resume=context.resume,
        deadline=context.deadline,
        unit="documents",
        identity=identity,
    )
    tracker = Tracker(context.folder / "log.jsonl", context.display)
    checkpoints = Checkpoints(context.folder / "checkpoints")
    result = fit(job, options, context.accelerator, tracker, checkpoints)
    return {**result.best, "steps": result.steps, "seconds": round(result.seconds)}


def _checksum(part: tuple[Documents, Targets]) -> int:
    documents, targets = part
    found = zlib.crc32(np.ascontiguousarray(targets).data)
    for document in documents:
        found = zlib.crc32(np.ascontiguousarray(document).data, zlib.crc32(b"|", found))
    return found


def check_settings(settings: ClassifierSettings) -> None:
    """Find out what contradicts itself before anything is trained.

    Raises:
        SettingsError: the window of the pools is shorter than a chunk, or rates are missing.
    """
    group_rates(settings.rates, 2)
    if settings.pool_tokens is not None and settings.pool_tokens < settings.chunk:
        raise SettingsError(
            f"classifier.pool_tokens is {settings.pool_tokens}",
            expected=f"at least classifier.chunk, {settings.chunk}",
            hint="A document's last chunk has to be pooled.",
        )


def _check(train: tuple[Documents, Targets], valid: tuple[Documents, Targets] | None) -> None:
    for name, part in (("train", train), ("validate", valid)):
        if part is not None and len(part[0]) == 0:
            raise InputError(f"there is no document to {name} on", expected="at least one")
    if len(train[0]) < ranks.size():
        raise InputError(
            f"{ranks.size()} processes are to share {len(train[0])} documents",
            expected="at least one for each of them",
        )
