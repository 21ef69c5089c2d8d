"""One member of a cell: train it by its variant's method, and measure it once."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.data.batches import backwards
from ulmfit.data.datasets import Dataset
from ulmfit.errors import InputError
from ulmfit.experiments.baselines import class_columns, fit_baseline
from ulmfit.experiments.cells import WORD_COUNTS, Plan, Task
from ulmfit.experiments.embeddings import fit_embeddings
from ulmfit.experiments.hypercolumns import fit_hypercolumns
from ulmfit.experiments.language_models import Site, pretrain_lm, tune_lm
from ulmfit.experiments.multitask import train_multitask
from ulmfit.experiments.nb_svm import fit_nb_svm
from ulmfit.experiments.ngrams import fit_bag_of_ngrams
from ulmfit.experiments.protocol import Parts, load_parts, read_test
from ulmfit.stages.ensemble import probabilities
from ulmfit.stages.finetune_classifier import finetune_classifier, one_hot
from ulmfit.stages.fit_ngrams import fit_ngrams
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.storage import atomic_write
from ulmfit.train.checkpoint import Checkpoints
from ulmfit.train.evaluate import predict_logits
from ulmfit.train.tracker import Display

Probabilities = NDArray[np.floating[Any]]
# Answers to the rows that are measured, (N, C).
Answer = Callable[[list[str]], Probabilities]

# Folder, below a task's, of a member that is trained in several stages.
RUN = "run"


@dataclass(frozen=True)
class Member:
    """What a trained member is asked.

    Attributes:
        classes: columns of its answers.
        answer: texts to probabilities.
        curve: a record per epoch: training loss, and loss and error on the validation set.
    """

    classes: list[str]
    answer: Answer
    curve: list[dict[str, Any]] = field(default_factory=list)


def run_task(task: Task, site: Site, display: Display) -> None:
    """Do a piece of work, or go on with it; its outcome appears when it is complete.

    Raises:
        UlmfitError: of any kind.
        Interrupted: the user stopped it; a checkpoint has been written.
    """
    if task.outcome(site.work).exists():
        return
    task.folder(site.work).mkdir(parents=True, exist_ok=True)
    match task.kind:
        case "pretrain":
            pretrain_lm(task, site, display)
        case "tune":
            tune_lm(task, site, display)
        case "train":
            train_and_measure(task, site, display)


def train_and_measure(task: Task, site: Site, display: Display) -> None:
    """Train a member, then read the rows that it is measured on, and write what it answers."""
    started = time.monotonic()
    plan = task.plan
    parts = load_parts(plan.source, plan.metric, site.data_dir)
    member = _METHODS[plan.variant.method](task, parts, site, display)
    seconds = time.monotonic() - started
    rows = parts.valid if plan.metric == "validation" else read_test(plan.source, site.data_dir)
    result = {
        **measured(member, rows),
        "curve": member.curve,
        "seconds": round(seconds, 1),
    }
    atomic_write(task.outcome(site.work), json.dumps(result).encode())
    Checkpoints(task.folder(site.work) / "checkpoints").clear()
    shutil.rmtree(task.folder(site.work) / RUN, ignore_errors=True)


def measured(member: Member, rows: Dataset) -> dict[str, Any]:
    """Answers to `rows`, with the truth beside them.

    Raises:
        InputError: a row has a class that was not in the training rows.
    """
    assert rows.labels is not None
    unknown = sorted({str(label) for label in rows.labels} - set(member.classes))
    if unknown:
        raise InputError(
            f"{rows.name}: label {unknown[0]!r} does not occur among the rows trained on",
            expected=f"one of {', '.join(member.classes)}",
            hint="Draw more labels.",
        )
    answers = np.asarray(member.answer(rows.texts), dtype=np.float64)
    return {
        "truth": class_columns(rows, member.classes).tolist(),
        "probabilities": np.round(answers, 6).tolist(),
    }


def _rows(plan: Plan, parts: Parts) -> tuple[Dataset, Dataset | None]:
    """What a cell is trained on, and what it may choose by.

    With few labels nobody has a validation set to choose an epoch by: the last one counts. The
    method `train` may hold out some of the labels itself.
    """
    valid = parts.valid if plan.cell.labels is None else None
    return parts.labelled(plan.cell.labels, plan.cell.seed), valid


def _ulmfit(task: Task, parts: Parts, site: Site, display: Display) -> Member:
    plan = task.plan
    lm = TrainedLM.load(task.needs[0].outcome(site.work))
    train, valid = _rows(plan, parts)
    classes = parts.train.classes

    def encoded(rows: Dataset) -> tuple[list[NDArray[np.int32]], NDArray[np.float32]]:
        assert rows.labels is not None
        return lm.tokenizer.encode_batch(rows.texts), one_hot(rows.labels, classes)

    context = site.context(task, display)
    trained = finetune_classifier(
        lm,
        encoded(train),
        encoded(valid) if valid is not None else None,
        classes,
        plan.settings.classifier,
        context,
    )
    model = trained.model().to(context.accelerator.device)

    def answer(texts: list[str]) -> Probabilities:
        documents = lm.tokenizer.encode_batch(texts)
        turned = backwards(documents) if lm.direction == "backward" else documents
        return _softmax(predict_logits(model, turned))

    return Member(classes, answer, read_curve(context.folder / "log.jsonl"))


def _train(task: Task, parts: Parts, site: Site, display: Display) -> Member:
    """What `ulmfit train` makes of tuned language models, of both directions in one member."""
    plan = task.plan
    lms = {need.direction: TrainedLM.load(need.outcome(site.work)) for need in task.needs}
    train, valid = _rows(plan, parts)
    context = site.context(task, display)
    changes: dict[str, object] = {"finetune_lm": None}
    if plan.cell.labels is None and not parts.unlabeled:
        changes["self_training"] = None  # there is no text without a label
    assert site.trainer is not None, "the command hands it in"
    predictor = site.trainer(
        lms,
        train,
        valid,
        lambda: parts.task_texts(plan.metric),
        plan.settings.model_copy(update=changes),
        replace(context, folder=context.folder / RUN),
    )
    return Member(list(predictor.labels), predictor.predict_proba)


def _hypercolumns(task: Task, parts: Parts, site: Site, display: Display) -> Member:
    lm = TrainedLM.load(task.needs[0].outcome(site.work))
    train, valid = _rows(task.plan, parts)
    fitted = fit_hypercolumns(lm, train, valid)
    return Member(fitted.labels, fitted.predict_proba)


def _multitask(task: Task, parts: Parts, site: Site, display: Display) -> Member:
    plan = task.plan
    train, valid = _rows(plan, parts)
    context = site.context(task, display)
    sizes = TrainedLM.load(site.lm).config if site.lm is not None else None
    answer = train_multitask(train, valid, parts.train.classes, plan.settings, sizes, context)
    return Member(
        parts.train.classes,
        lambda texts: _softmax(answer(texts)),
        read_curve(context.folder / "log.jsonl"),
    )


def _all_labels(plan: Plan, parts: Parts) -> Dataset:
    """The rows of a method that chooses nothing on a validation set: it may train on that too."""
    test = plan.metric == "test"
    return parts.labelled(plan.cell.labels, plan.cell.seed, all_rows=test)


def _tfidf(task: Task, parts: Parts, site: Site, display: Display) -> Member:
    fitted = fit_baseline(_all_labels(task.plan, parts))
    return Member(list(fitted.labels), fitted.predict_proba)


def _nb_svm(task: Task, parts: Parts, site: Site, display: Display) -> Member:
    train, valid = _rows(task.plan, parts)
    fitted = fit_nb_svm(train, valid)
    return Member(fitted.labels, fitted.predict_proba)


def _ngrams(task: Task, parts: Parts, site: Site, display: Display) -> Member:
    plan = task.plan
    train, valid = _rows(plan, parts)
    fitted = fit_bag_of_ngrams(train, valid, seed=plan.cell.seed)
    return Member(fitted.labels, fitted.predict_proba)


def _word_counts(task: Task, parts: Parts, site: Site, display: Display) -> Member:
    tokenizer = TrainedLM.load(task.needs[0].outcome(site.work)).tokenizer
    train, classes = parts.labelled(task.plan.cell.labels, task.plan.cell.seed), parts.train.classes
    assert train.labels is not None
    documents, targets = tokenizer.encode_batch(train.texts), one_hot(train.labels, classes)
    seed = task.plan.cell.seed
    fitted = fit_ngrams(documents, targets, multi_label=False, seed=seed)

    def answer(texts: list[str]) -> Probabilities:
        scores = fitted.scores(tokenizer.encode_batch(texts))
        return probabilities(scores, multi_label=False)

    return Member(classes, answer)


def _embeddings(task: Task, parts: Parts, site: Site, display: Display) -> Member:
    fitted = fit_embeddings(_all_labels(task.plan, parts))
    return Member(fitted.labels, fitted.predict_proba)


_METHODS: dict[str, Callable[[Task, Parts, Site, Display], Member]] = {
    "ulmfit": _ulmfit,
    "train": _train,
    "hypercolumns": _hypercolumns,
    "multitask": _multitask,
    "tfidf": _tfidf,
    "nb-svm": _nb_svm,
    "n-grams": _ngrams,
    "sentence-embeddings": _embeddings,
    WORD_COUNTS: _word_counts,
}


def _softmax(logits: NDArray[np.float32]) -> Probabilities:
    return probabilities(logits.astype(np.float64), multi_label=False)


def read_curve(log: Path) -> list[dict[str, Any]]:
    """The last record of each epoch of a training log, errors in percent.

    From where a run went back to after a number that was not finite, `rate_factor` says by how
    much its rates were lowered.
    """
    epochs: dict[int, dict[str, Any]] = {}
    lowered = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if "back_to" in record:
            lowered = {"rate_factor": record["rate_factor"]}
            continue
        kept = {"epoch": record["epoch"] + 1, "train_loss": round(record["train_loss"], 5)}
        if "error" in record:
            kept["valid_loss"] = round(record["valid_loss"], 5)
            kept["error"] = round(100 * record["error"], 3)
        epochs[record["epoch"]] = kept | lowered
    return [epochs[epoch] for epoch in sorted(epochs)]
