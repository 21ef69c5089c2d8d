"""Stages 2 and 3 in one direction, in this process or in one of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit import ranks
from ulmfit.apps.language_models import finetune_lms
from ulmfit.apps.run import Texts, TrainingRun
from ulmfit.apps.side_by_side import child_run, write_task
from ulmfit.artifacts import read_folder, write_folder
from ulmfit.config import Direction
from ulmfit.settings import Settings
from ulmfit.stages.classifier_folder import TrainedClassifier
from ulmfit.stages.finetune_classifier import finetune_classifier
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.storage import atomic_file
from ulmfit.train.checkpoint import Checkpoints

Documents = list[NDArray[np.int32]]
LabelledIds = tuple[Documents, NDArray[np.float32]]


@dataclass(frozen=True)
class DirectionWork:
    """What stages 2 and 3 need for one direction.

    Attributes:
        direction: reading order.
        lm: pretrained language model.
        train: word ids by the vocabulary of the fine-tuned LM, and targets (N, C).
        valid: held-out ones, None where there are none.
        labels: class names, by column.
        multi_label: whether a document may have any number of labels.
        settings: of both stages.
    """

    direction: Direction
    lm: TrainedLM
    train: LabelledIds
    valid: LabelledIds | None
    labels: list[str]
    multi_label: bool
    settings: Settings

    def model_folder(self, run: TrainingRun) -> Path:
        """Where the classifier is once it is trained."""
        return run.work / self.direction / "classifier" / "model"


def train_direction(work: DirectionWork, run: TrainingRun, texts: Texts) -> TrainedClassifier:
    """Fine-tune the LM and then the classifier; what is done already is read.

    Args:
        work: data and settings.
        run: claimed work folder, device, display, seed.
        texts: opens the task's text, if it has not been packed yet.
    """
    folder = work.model_folder(run)
    if not ranks.first("a trained classifier", folder.is_dir):
        lm = work.lm
        if work.settings.finetune_lm is not None:
            found = finetune_lms({work.direction: lm}, texts, work.settings.finetune_lm, run)
            lm = found[work.direction]
        run.display.note(f"{work.direction} classifier: {len(work.train[0])} documents")
        trained = finetune_classifier(
            lm,
            work.train,
            work.valid,
            work.labels,
            work.settings.classifier,
            run.context(work.direction, "classifier"),
            multi_label=work.multi_label,
        )
        ranks.first("a classifier", lambda: _keep(trained, folder), folder)
    return TrainedClassifier.from_contents(read_folder(folder))


def _keep(trained: TrainedClassifier, folder: Path) -> None:
    log = (folder.parent / "log.jsonl").read_bytes()
    write_folder(folder, trained.files(log=log))
    Checkpoints(folder.parent / "checkpoints").clear()


def hand_over(work: DirectionWork, run: TrainingRun) -> Path:
    """Write down what another process needs to train a direction; returns its task's file."""
    folder = run.work / work.direction
    folder.mkdir(parents=True, exist_ok=True)
    write_folder(folder / "base" / "model", work.lm.files())
    save_ids(work.train, folder / "train.npz")
    if work.valid is not None:
        save_ids(work.valid, folder / "valid.npz")
    task = folder / "task.json"
    what = {
        "direction": work.direction,
        "labels": work.labels,
        "multi_label": work.multi_label,
        "validated": work.valid is not None,
        "settings": work.settings.model_dump(mode="json"),
        "kept_defaults": work.settings.kept_defaults,
    }
    write_task(task, run, what)
    return task


def main(arguments: list[str]) -> None:
    """The other process: `arguments` as `side_by_side.child_run` takes them."""
    with child_run(arguments) as (run, told):
        direction: Direction = "backward" if told["direction"] == "backward" else "forward"
        folder = run.work / direction
        work = DirectionWork(
            direction=direction,
            lm=TrainedLM.load(folder / "base" / "model"),
            train=load_ids(folder / "train.npz"),
            valid=load_ids(folder / "valid.npz") if told["validated"] else None,
            labels=list(told["labels"]),
            multi_label=bool(told["multi_label"]),
            settings=settings_of(told),
        )
        train_direction(work, run, _already_packed)


def settings_of(told: Mapping[str, Any]) -> Settings:
    """The settings in a task, with what a person has chosen."""
    return Settings.model_validate(told["settings"]).with_choices(told["kept_defaults"])


def _already_packed() -> Iterable[str]:
    raise AssertionError("the parent has packed the task's text")


def save_ids(data: LabelledIds, path: Path) -> None:
    """Keep documents and targets in a file."""
    documents, targets = data
    with atomic_file(path) as file:
        np.savez(
            file,
            ids=np.concatenate(documents),
            lengths=np.array([len(document) for document in documents]),
            targets=targets,
        )


def load_ids(path: Path) -> LabelledIds:
    """What `save_ids` has kept."""
    with np.load(path, allow_pickle=False) as file:
        documents = np.split(file["ids"], np.cumsum(file["lengths"])[:-1])
        return documents, file["targets"]


if __name__ == "__main__":
    main(sys.argv[1:])
