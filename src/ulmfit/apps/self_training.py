"""Self-training: a second round, in which a classifier also learns what it labelled itself.

Beyond the paper. The classifier of the first round, both directions together, labels texts without
labels; those that it is surest of, balanced by class, join the labelled ones, and each direction is
trained again from its fine-tuned language model.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ulmfit import ranks
from ulmfit.apps.direction import DirectionWork, Documents, LabelledIds, load_ids, save_ids
from ulmfit.apps.language_models import lm_folder
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.run import Texts, TrainingRun
from ulmfit.data.datasets import Dataset
from ulmfit.errors import InputError, SettingsError
from ulmfit.settings import SelfTrainingSettings
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.stages.self_training import surest

FOLDER = "self-training"


def require_self_training(dataset: Dataset, valid: Dataset | None, unlabeled: Texts | None) -> None:
    """Check, before hours of training, that there can be a second round.

    Raises:
        InputError: there are no texts without labels, or all of them have labels elsewhere.
        SettingsError: the texts have several labels each.
    """
    if dataset.multi_label:
        raise SettingsError(
            "self_training is set, but rows can have several labels",
            expected="one label for each text",
            hint="Leave self_training out.",
        )
    known = {*dataset.texts, *(valid.texts if valid is not None else ())}
    # The first such text will do: there may be millions.
    if unlabeled is None or not any(text.strip() and text not in known for text in unlabeled()):
        raise _nothing_to_label()


def _nothing_to_label() -> InputError:
    return InputError(
        "there is no unlabelled text to train on",
        expected="more text of the task",
        hint="Give it with --unlabeled, or leave self_training out.",
    )


def second_round(
    teacher: Predictor,
    works: Sequence[DirectionWork],
    unlabeled: Texts,
    known: Collection[str],
    settings: SelfTrainingSettings,
    run: TrainingRun,
) -> tuple[list[DirectionWork], TrainingRun]:
    """Label texts, and make the second round's work of them, with a work folder of its own.

    Args:
        teacher: the first round's classifier.
        works: those of the first round, trained.
        unlabeled: opens the texts without labels.
        known: texts that are labelled or held out; they are not labelled again.
        settings: how many.
        run: of the first round.

    Raises:
        InputError: there are no texts without labels but known ones.
    """
    documents, targets = _labelled(teacher, works[0], unlabeled, known, settings, run)
    own = replace(run, work=run.work / FOLDER)
    return [_again(work, documents, targets, settings, run) for work in works], own


def _again(
    work: DirectionWork,
    documents: Documents,
    targets: NDArray[np.float32],
    settings: SelfTrainingSettings,
    run: TrainingRun,
) -> DirectionWork:
    first = work.settings
    classifier = first.classifier.model_copy(update={"epochs": settings.epochs})
    tuned = first.finetune_lm is not None
    return replace(
        work,
        lm=TrainedLM.load(lm_folder(work.direction, run)) if tuned else work.lm,
        train=(work.train[0] + documents, np.concatenate([work.train[1], targets])),
        settings=first.model_copy(update={"finetune_lm": None, "classifier": classifier}),
    )


def _labelled(
    teacher: Predictor,
    work: DirectionWork,
    unlabeled: Texts,
    known: Collection[str],
    settings: SelfTrainingSettings,
    run: TrainingRun,
) -> LabelledIds:
    """Ids and targets of what the teacher is surest of, as kept by a stopped run."""
    kept = run.work / FOLDER / "labelled.npz"

    def label() -> LabelledIds:
        if kept.exists():
            return load_ids(kept)
        texts = pool_of(unlabeled(), known, settings.pool)
        if not texts:
            raise _nothing_to_label()
        run.display.note(f"self-training: labelling {len(texts):,} texts")
        rows, columns = surest(
            teacher.predict_proba(texts), work.train[1].mean(axis=0), settings.documents
        )
        documents = teacher.members[0].tokenizer.encode_batch([texts[row] for row in rows])
        targets = np.eye(len(work.labels), dtype=np.float32)[columns]
        save_ids((documents, targets), kept)
        return documents, targets

    return ranks.made_by_first("self-training", label, lambda: load_ids(kept), kept)


def pool_of(texts: Iterable[str], known: Collection[str], n: int) -> list[str]:
    """At most `n` different texts that are not known: drawn by digest, whatever their order."""
    seen = set(known)

    def fresh() -> Iterable[str]:
        for text in texts:
            if text.strip() and text not in seen:
                seen.add(text)
                yield text

    def place(text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

    return heapq.nsmallest(n, fresh(), key=place)
