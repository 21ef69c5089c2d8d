"""From labelled text to a classifier: LM fine-tuning, classifier fine-tuning, both directions.

Every stage writes what it made below the work folder, so that a stopped run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ulmfit.apps.language_models import finetune_lms
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.run import Texts, TrainingRun, text_digest
from ulmfit.artifacts import read_folder, write_folder
from ulmfit.config import Direction
from ulmfit.data.datasets import Dataset, training_rows
from ulmfit.data.splits import stratified_split
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError
from ulmfit.settings import Settings
from ulmfit.stages.classifier_folder import TrainedClassifier
from ulmfit.stages.finetune_classifier import finetune_classifier, one_hot
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.train.checkpoint import Checkpoints, checksum

# With fewer held-out documents the validation loss chooses epochs by chance: train on all instead.
MIN_VALID_ROWS = 40


def train_classifier(
    dataset: Dataset,
    lms: Mapping[Direction, TrainedLM],
    settings: Settings,
    run: TrainingRun,
    *,
    unlabeled: Texts | None = None,
    valid: Dataset | None = None,
) -> Predictor:
    """The whole of stages 2 and 3, for every direction there is a language model of.

    Args:
        dataset: labelled documents.
        lms: pretrained language models, sharing one vocabulary.
        settings: of both stages.
        run: folder, device, display, seed.
        unlabeled: opens more text of the task for LM fine-tuning; read several times.
        valid: held-out documents that choose the epoch; else a part of `dataset` where that is
            large enough.

    Raises:
        InputError: data that cannot be trained on.
        SettingsError: the run to resume was of other data or settings.
        Interrupted: the user stopped the run.
    """
    dataset = training_rows(dataset)
    labels = dataset.classes
    train_part, valid_part = _split(dataset, valid, settings, run.seed)

    def task_texts() -> Iterator[str]:
        yield from chain(dataset.texts, unlabeled() if unlabeled is not None else ())

    texts = task_texts if settings.finetune_lm is not None else None
    run.claim(_identity([train_part, valid_part], texts, lms, settings))
    tuned = dict(lms)
    if settings.finetune_lm is not None:
        tuned = finetune_lms(lms, task_texts, settings.finetune_lm, run)
    tokenizer = next(iter(tuned.values())).tokenizer
    train_data = _encoded(train_part, tokenizer, labels)
    valid_data = _encoded(valid_part, tokenizer, labels) if valid_part is not None else None
    members = []
    for direction, lm in tuned.items():
        place = run.work / direction / "classifier"
        if not (place / "model").is_dir():
            run.display.note(f"{direction} classifier: {len(train_part)} documents")
            trained = finetune_classifier(
                lm,
                train_data,
                valid_data,
                labels,
                settings.classifier,
                run.context(direction, "classifier"),
                multi_label=dataset.multi_label,
            )
            log = (place / "log.jsonl").read_bytes()
            write_folder(place / "model", trained.files(log=log))
            Checkpoints(place / "checkpoints").clear()
        members.append(TrainedClassifier.from_contents(read_folder(place / "model")))
    return Predictor(members)


def _split(
    dataset: Dataset, valid: Dataset | None, settings: Settings, seed: int
) -> tuple[Dataset, Dataset | None]:
    if valid is not None:
        unknown = sorted(set(valid.classes) - set(dataset.classes))
        if unknown:
            raise InputError(
                f"{valid.name}: label {unknown[0]!r} does not occur in {dataset.name}",
                expected=f"one of {', '.join(dataset.classes)}",
            )
        return dataset, training_rows(valid)
    fraction = settings.classifier.valid_fraction
    if len(dataset) * fraction < MIN_VALID_ROWS:
        return dataset, None
    assert dataset.labels is not None
    train_rows, valid_rows = stratified_split(dataset.labels, fraction, seed)
    return dataset.subset(train_rows), dataset.subset(valid_rows)


def _encoded(
    dataset: Dataset, tokenizer: Tokenizer, labels: list[str]
) -> tuple[list[NDArray[np.int32]], NDArray[np.float32]]:
    assert dataset.labels is not None
    return tokenizer.encode_batch(dataset.texts), one_hot(dataset.labels, labels)


def _identity(
    parts: Sequence[Dataset | None],
    task_texts: Texts | None,
    lms: Mapping[Direction, TrainedLM],
    settings: Settings,
) -> dict[str, object]:
    """What a run must have in common with the one it resumes."""
    return {
        "data": [text_digest(map(repr, _rows(part))) for part in parts if part is not None],
        "task text": text_digest(task_texts()) if task_texts is not None else None,
        "settings": settings.model_dump(exclude={"pretrain"}),
        "directions": sorted(lms),
        "language model": [checksum(lms[direction].weights) for direction in sorted(lms)],
        "vocabulary": next(iter(lms.values())).tokenizer.digest,
    }


def _rows(dataset: Dataset) -> Iterator[tuple[str, str | tuple[str, ...]]]:
    return zip(dataset.texts, dataset.labels or (), strict=True)
