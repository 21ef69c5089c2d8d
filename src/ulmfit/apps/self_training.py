"""Self-training: a second round, in which a classifier also learns what it labelled itself.

Beyond the paper. The classifier of the first round, both directions together, says of texts without
labels how likely each class is; with these probabilities as soft targets they join the labelled
ones, and each direction is trained again from its fine-tuned language model.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ulmfit import ranks
from ulmfit.apps.direction import DirectionWork, Documents, LabelledIds, load_ids, save_ids
from ulmfit.apps.language_models import lm_folder
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.run import Texts, TrainingRun
from ulmfit.data.datasets import Dataset
from ulmfit.errors import InputError
from ulmfit.settings import SelfTrainingSettings
from ulmfit.stages.lm_folder import TrainedLM

FOLDER = "self-training"


def require_unlabeled(dataset: Dataset, valid: Dataset | None, unlabeled: Texts | None) -> None:
    """Find out, before hours of training, whether there can be a second round.

    Raises:
        InputError: no text is without a label.
    """
    known = {*dataset.texts, *(valid.texts if valid is not None else ())}
    # The first such text will do: there may be millions.
    if unlabeled is None or not any(_others(unlabeled(), known)):
        raise InputError(
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
    """Ask the first round, and make of its answers the second's work, in a work folder of its own.

    Args:
        teacher: the first round's classifier.
        works: those of the first round, trained.
        unlabeled: opens the texts without labels.
        known: texts that are labelled or held out; the teacher is not asked about them.
        settings: how many.
        run: of the first round.
    """
    documents, targets = _answered(teacher, unlabeled, known, settings, run)
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
    # Of few more documents as many passes that no fewer are read than in the first round.
    least = first.classifier.epochs * len(work.train[0]) / (len(work.train[0]) + len(documents))
    epochs = max(settings.epochs, math.ceil(least))
    classifier = first.classifier.model_copy(update={"epochs": epochs})
    classifier = classifier.with_choices([*first.classifier.by_hand, "epochs"])
    tuned = first.finetune_lm is not None
    return replace(
        work,
        lm=TrainedLM.load(lm_folder(work.direction, run)) if tuned else work.lm,
        train=(work.train[0] + documents, np.concatenate([work.train[1], targets])),
        settings=first.model_copy(update={"finetune_lm": None, "classifier": classifier}),
    )


def _answered(
    teacher: Predictor,
    unlabeled: Texts,
    known: Collection[str],
    settings: SelfTrainingSettings,
    run: TrainingRun,
) -> LabelledIds:
    """Ids of texts and what the teacher says of them, as kept by a stopped run."""
    kept = run.work / FOLDER / "answers.npz"

    def answer() -> LabelledIds:
        if kept.exists():
            return load_ids(kept)
        run.display.note("self-training: reading the texts without labels")
        texts = drawn(unlabeled(), known, settings.documents)
        if not texts:
            raise InputError(
                "the texts without labels are gone",
                expected="the same ones each time that they are opened",
            )
        run.display.note(f"self-training: a second round, with {len(texts):,} of them")
        documents = teacher.members[0].tokenizer.encode_batch(texts)
        targets = teacher.predict_proba(texts).astype(np.float32)
        save_ids((documents, targets), kept)
        return documents, targets

    return ranks.made_by_first("self-training", answer, lambda: load_ids(kept), kept)


def drawn(texts: Iterable[str], known: Collection[str], n: int) -> list[str]:
    """At most `n` different texts that are not known: drawn by digest, whatever their order."""
    best: list[tuple[int, str]] = []  # a heap, with the last in place on top
    places: set[int] = set()
    for text in _others(texts, known):
        content = text.encode("utf-8", "surrogatepass")
        place = int.from_bytes(hashlib.blake2b(content, digest_size=16).digest())
        if place in places or (len(best) == n and -place < best[0][0]):
            continue
        places.add(place)
        if len(best) < n:
            heapq.heappush(best, (-place, text))
        else:
            out, _ = heapq.heapreplace(best, (-place, text))
            places.remove(-out)
    return [text for _, text in sorted(best, reverse=True)]


def _others(texts: Iterable[str], known: Collection[str]) -> Iterator[str]:
    return (text for text in texts if text.strip() and text not in known)
