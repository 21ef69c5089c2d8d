"""One direction's stages; the two-process form is in `test_side_by_side.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from ulmfit.apps.direction import (
    DirectionWork,
    hand_over,
    load_ids,
    save_ids,
    settings_of,
    train_direction,
)
from ulmfit.apps.run import TrainingRun
from ulmfit.runtime import make_accelerator
from ulmfit.settings import ClassifierSettings, Settings
from ulmfit.stages.finetune_classifier import one_hot
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.train.tracker import Silent


def work() -> DirectionWork:
    words = tiny.tokenizer()
    texts, labels = tiny.labelled_texts(40)
    classes = sorted(set(labels))
    data = (words.encode_batch(texts), one_hot(labels, classes))
    classifier = ClassifierSettings.model_validate({"epochs": 2, "batch_size": 20, "head_size": 5})
    settings = Settings(finetune_lm=None, classifier=classifier)
    return DirectionWork("forward", tiny.trained_lm(words), data, None, classes, False, settings)


def no_texts() -> Iterator[str]:
    raise AssertionError("nothing is to be read")


def test_what_is_done_is_read_and_not_done_again(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path, make_accelerator(cpu=True), Silent())
    first = train_direction(work(), run, no_texts)
    weights = work().model_folder(run) / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = train_direction(work(), run, no_texts)
    assert weights.stat().st_mtime_ns == before
    assert first.weights.keys() == again.weights.keys()
    assert all((first.weights[name] == again.weights[name]).all() for name in first.weights)


def test_documents_survive_the_way_through_a_file(tmp_path: Path) -> None:
    documents = [np.array(ids, dtype=np.int32) for ids in ([3, 1], [7], [2, 2, 9])]
    targets = np.eye(3, dtype=np.float32)
    save_ids((documents, targets), tmp_path / "x.npz")
    found, found_targets = load_ids(tmp_path / "x.npz")
    assert [ids.tolist() for ids in found] == [[3, 1], [7], [2, 2, 9]]
    assert {ids.dtype for ids in found} == {np.dtype(np.int32)}
    assert (found_targets == targets).all()


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", ids=np.array([{}], dtype=object), lengths=[1], targets=[[1.0]])
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_ids(tmp_path / "x.npz")


def test_the_task_says_all_that_the_other_process_needs(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path, make_accelerator(cpu=True), Silent(), seed=7, resume=True)
    told = json.loads(hand_over(work(), run).read_text())
    assert (told["seed"], told["resume"], told["precision"]) == (7, True, "float32")
    assert (told["labels"], told["validated"]) == (work().labels, False)
    assert settings_of(told) == work().settings
    chosen = work().settings.with_choices(["classifier.dropouts", "classifier.epochs"])
    told = json.loads(hand_over(replace(work(), settings=chosen), run).read_text())
    found = settings_of(told).classifier
    assert [found.is_open(name) for name in ("dropouts", "epochs", "max_tokens")] == [0, 0, 1]
    lm = TrainedLM.load(tmp_path / "forward" / "base" / "model")
    assert lm.tokenizer.digest == work().lm.tokenizer.digest
