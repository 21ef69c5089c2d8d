"""From labelled text to a classifier: LM fine-tuning, classifier fine-tuning, both directions.

Every stage writes what it made below the work folder, so that a stopped run goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ulmfit.apps.predictor import Predictor
from ulmfit.artifacts import read_folder, write_folder
from ulmfit.config import Direction
from ulmfit.data.corpus import TokenCorpus
from ulmfit.data.datasets import Dataset, training_rows
from ulmfit.data.splits import stratified_split
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError, SettingsError
from ulmfit.settings import Settings
from ulmfit.stages.classifier_folder import TrainedClassifier
from ulmfit.stages.finetune_classifier import finetune_classifier, one_hot
from ulmfit.stages.finetune_lm import finetune_lm, pack_task_corpus, task_tokenizer
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.stages.lm_training import RunContext
from ulmfit.storage import atomic_write
from ulmfit.train.tracker import Display

if TYPE_CHECKING:
    from accelerate import Accelerator

Texts = Callable[[], Iterable[str]]

# With fewer held-out documents the validation loss chooses epochs by chance: train on all instead.
MIN_VALID_ROWS = 40


@dataclass(frozen=True)
class TrainingRun:
    """Where and how a `train` run goes.

    Attributes:
        work: folder for checkpoints, corpora and logs of the stages.
        accelerator: device and precision.
        display: what a person sees.
        seed: of everything that is drawn.
        resume: go on with what is in `work`.
    """

    work: Path
    accelerator: Accelerator
    display: Display
    seed: int = 0
    resume: bool = False

    def context(self, *parts: str) -> RunContext:
        """The surroundings of one stage."""
        return RunContext(
            self.accelerator, self.work.joinpath(*parts), self.display, self.seed, self.resume
        )


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
    _claim(run, _identity(dataset, lms, settings, run.seed))

    def task_texts() -> Iterator[str]:
        yield from chain(dataset.texts, unlabeled() if unlabeled is not None else ())

    tuned = _tuned_lms(lms, task_texts, settings, run)
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
        members.append(TrainedClassifier.from_contents(read_folder(place / "model")))
    return Predictor(members)


def _tuned_lms(
    lms: Mapping[Direction, TrainedLM], texts: Texts, settings: Settings, run: TrainingRun
) -> dict[Direction, TrainedLM]:
    """Stage 2 for each direction; the vocabulary and the packed text serve both."""
    if settings.finetune_lm is None:
        return dict(lms)
    tokenizer, train, valid = _task_corpus(lms, texts, settings, run)
    tuned = {}
    for direction, base in lms.items():
        place = run.work / direction / "lm"
        if not (place / "model").is_dir():
            run.display.note(f"{direction} language model: {train.n_tokens:,} tokens of task text")
            lm = finetune_lm(
                base, tokenizer, train, valid, settings.finetune_lm, run.context(direction, "lm")
            )
            write_folder(place / "model", lm.files(log=(place / "log.jsonl").read_bytes()))
        tuned[direction] = TrainedLM.load(place / "model")
    return tuned


def _task_corpus(
    lms: Mapping[Direction, TrainedLM], texts: Texts, settings: Settings, run: TrainingRun
) -> tuple[Tokenizer, TokenCorpus, TokenCorpus | None]:
    assert settings.finetune_lm is not None
    base = next(iter(lms.values())).tokenizer
    folder = run.work / "corpus"
    done = folder / "tokenizer.json"
    if done.exists():
        valid = TokenCorpus.open(folder / "valid") if (folder / "valid").is_dir() else None
        tokenizer = Tokenizer.from_json(done.read_text(encoding="utf-8"))
        return tokenizer, TokenCorpus.open(folder / "train"), valid
    run.display.note("reading the task's text")
    tokenizer = task_tokenizer(base, texts, settings.finetune_lm)
    train, valid = pack_task_corpus(texts, tokenizer, settings.finetune_lm.valid_fraction, folder)
    atomic_write(done, tokenizer.to_json().encode())
    return tokenizer, train, valid


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
    dataset: Dataset, lms: Mapping[Direction, TrainedLM], settings: Settings, seed: int
) -> dict[str, object]:
    """What a run must have in common with the one it resumes."""
    data = hashlib.sha256()
    for text, label in zip(dataset.texts, dataset.labels or (), strict=True):
        data.update(repr((text, label)).encode("utf-8", "surrogatepass"))
    return {
        "data": data.hexdigest(),
        "settings": json.loads(settings.model_dump_json()),
        "directions": sorted(lms),
        "vocabulary": next(iter(lms.values())).tokenizer.digest,
        "seed": seed,
    }


def _claim(run: TrainingRun, identity: dict[str, object]) -> None:
    """Start the work folder afresh, or make sure that it is this run's."""
    mark = run.work / "run.json"
    if not run.resume or not mark.exists():
        shutil.rmtree(run.work, ignore_errors=True)
        run.work.mkdir(parents=True)
        atomic_write(mark, json.dumps(identity).encode())
        return
    before = json.loads(mark.read_text(encoding="utf-8"))
    changed = [key for key, value in identity.items() if before.get(key) != value]
    if changed:
        raise SettingsError(
            f"the run in '{run.work}' was of other {' and '.join(changed)}",
            hint="Give the same data and settings to resume it, or leave --resume out to start "
            "again.",
        )
