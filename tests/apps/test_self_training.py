"""The second round, on what the first one labelled."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.apps.test_training import LMS, dataset, notes, settings, training_run
from ulmfit.apps.direction import load_ids, save_ids
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.self_training import FOLDER, drawn
from ulmfit.apps.training import train_classifier
from ulmfit.artifacts import read_folder
from ulmfit.data.datasets import Dataset
from ulmfit.errors import InputError, SettingsError
from ulmfit.settings import SelfTrainingSettings, Settings
from ulmfit.stages.classifier_folder import TrainedClassifier
from ulmfit.train.checkpoint import checksum

UNLABELED = tiny.labelled_texts(60, 7)[0]


def with_second_round(**changes: object) -> Settings:
    wanted = SelfTrainingSettings.model_validate({"documents": 20, "epochs": 2, **changes})
    return settings(self_training=wanted)


def test_the_second_round_learns_what_the_first_one_says(tmp_path: Path) -> None:
    run = training_run(tmp_path)
    found = train_classifier(
        dataset(30), LMS, with_second_round(), run, unlabeled=lambda: UNLABELED
    )
    assert "self-training: a second round, with 20 of them" in notes(run)
    assert [line for line in notes(run) if "classifier:" in line] == [
        "forward classifier: 30 documents",
        "forward classifier: 50 documents",
    ]
    targets = np.load(tmp_path / FOLDER / "answers.npz")["targets"]
    assert targets.shape == (20, 2)
    assert targets.sum(axis=1) == pytest.approx(np.ones(20))
    assert ((targets > 0) & (targets < 1)).all(), "soft"
    assert "also texts without labels (20)" in found.card()
    plain = train_classifier(
        dataset(30), LMS, settings(), training_run(tmp_path / "plain"), unlabeled=lambda: UNLABELED
    )
    weights = [checksum(each.members[0].weights) for each in (found, plain)]
    assert weights[0] != weights[1]
    assert "without labels" not in plain.card()


def test_a_stopped_run_keeps_the_answers(tmp_path: Path) -> None:
    def trained(*, resume: bool) -> int:
        run = training_run(tmp_path, resume=resume)
        data, wanted = dataset(30), with_second_round()
        found = train_classifier(data, LMS, wanted, run, unlabeled=lambda: UNLABELED)
        return checksum(found.members[0].weights)

    model = tmp_path / FOLDER / "forward" / "classifier" / "model"
    whole = trained(resume=False)
    shutil.rmtree(model)
    assert trained(resume=True) == whole
    documents, targets = load_ids(tmp_path / FOLDER / "answers.npz")
    save_ids((documents, targets[:, ::-1].copy()), tmp_path / FOLDER / "answers.npz")
    shutil.rmtree(model)
    assert trained(resume=True) != whole, "what was kept is what is learned"


def member_in(folder: Path) -> TrainedClassifier:
    """The forward classifier of a round."""
    contents = read_folder(folder / "forward" / "classifier" / "model")
    return TrainedClassifier.from_contents(contents)


def test_held_out_documents_choose_the_round(tmp_path: Path) -> None:
    run, valid = training_run(tmp_path), dataset(20, seed=1)
    found = train_classifier(
        dataset(30), LMS, with_second_round(), run, unlabeled=lambda: UNLABELED, valid=valid
    )
    rounds = {
        name: Predictor([member_in(folder)])
        for name, folder in (("first", tmp_path), ("second", tmp_path / FOLDER))
    }

    def errors(predictor: Predictor) -> int:
        answers = predictor.decide(predictor.predict_proba(valid.texts))
        return sum(a != b for a, b in zip(answers, valid.labels or (), strict=True))

    better = "second" if errors(rounds["second"]) <= errors(rounds["first"]) else "first"
    (line,) = [line for line in notes(run) if "held-out error" in line]
    assert line.endswith(f"the {better} is kept")
    kept = rounds[better].members[0]
    assert checksum(found.members[0].weights) == checksum(kept.weights)


def test_other_texts_make_another_run(tmp_path: Path) -> None:
    wanted = with_second_round().model_copy(update={"finetune_lm": None})

    def train(texts: list[str], *, resume: bool) -> None:
        run = training_run(tmp_path, resume=resume)
        train_classifier(dataset(30), LMS, wanted, run, unlabeled=lambda: texts)

    train(UNLABELED, resume=False)
    train(UNLABELED, resume=True)
    with pytest.raises(SettingsError, match="differs in task text"):
        train(UNLABELED[:40], resume=True)


def test_few_documents_are_read_as_often_as_in_the_first_round(tmp_path: Path) -> None:
    def passes(**changes: object) -> int:
        run = training_run(tmp_path / str(changes))
        train_classifier(
            dataset(30), LMS, with_second_round(**changes), run, unlabeled=lambda: UNLABELED
        )
        log = run.work / FOLDER / "forward" / "classifier" / "log.jsonl"
        return int(json.loads(log.read_text("utf-8").splitlines()[-1])["epoch"]) + 1

    first = settings().classifier.epochs
    assert passes(documents=1) == first == 2
    assert passes(documents=20, epochs=3) == 3


def test_texts_that_are_known_are_not_drawn() -> None:
    texts = ["a", "b", "a", " ", "c", "d"]
    assert sorted(drawn(texts, {"b"}, 10)) == ["a", "c", "d"]
    assert len(drawn(texts, (), 2)) == 2
    assert drawn(texts, (), 2) == drawn(reversed(texts), (), 2), "the order does not count"
    many = [f"text {number % 50}" for number in range(200)]
    whole = drawn(many, (), 200)
    assert sorted(whole) == sorted(set(many))
    assert drawn(many, (), 7) == whole[:7]


def test_only_what_is_drawn_is_held_in_memory() -> None:
    tracemalloc.start()
    assert len(drawn((f"{number} {'x' * 1000}" for number in range(20_000)), (), 10)) == 10
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000


def test_texts_that_can_be_read_only_once_are_missed(tmp_path: Path) -> None:
    once = iter(UNLABELED)
    with pytest.raises(InputError, match="the texts without labels are gone"):
        train_classifier(
            dataset(30), LMS, with_second_round(), training_run(tmp_path), unlabeled=lambda: once
        )


def test_without_texts_there_is_nothing_to_label(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        train_classifier(dataset(30), LMS, with_second_round(), training_run(tmp_path))
    labelled, run = dataset(30), training_run(tmp_path)
    with pytest.raises(InputError, match="no unlabelled text"):
        train_classifier(labelled, LMS, with_second_round(), run, unlabeled=lambda: labelled.texts)
    assert not notes(run), "said before anything is trained"
    assert str(caught.value) == (
        "there is no unlabelled text to train on: expected more text of the task. Give it with "
        "--unlabeled, or leave self_training out."
    )


def test_several_labels_for_a_text(tmp_path: Path) -> None:
    data = dataset(30)
    assert data.labels is not None
    labels: list[tuple[str, ...]] = [(str(label),) for label in data.labels]
    several = Dataset(data.texts, labels, name="several", multi_label=True)
    train_classifier(
        several, LMS, with_second_round(), training_run(tmp_path), unlabeled=lambda: UNLABELED
    )
    targets = np.load(tmp_path / FOLDER / "answers.npz")["targets"]
    assert ((targets > 0) & (targets < 1)).all()
    assert not np.allclose(targets.sum(axis=1), 1, atol=1e-3), "each class by itself"
