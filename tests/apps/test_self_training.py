"""The second round, on what the first one labelled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.apps.test_training import LMS, dataset, notes, settings, training_run
from ulmfit.apps.self_training import FOLDER, pool_of
from ulmfit.apps.training import train_classifier
from ulmfit.data.datasets import Dataset
from ulmfit.errors import InputError, SettingsError
from ulmfit.settings import SelfTrainingSettings, Settings
from ulmfit.train.checkpoint import checksum

UNLABELED = tiny.labelled_texts(60, 7)[0]


def with_second_round(**changes: object) -> Settings:
    wanted = SelfTrainingSettings.model_validate(
        {"documents": 20, "pool": 40, "epochs": 2, **changes}
    )
    return settings(self_training=wanted)


def test_the_second_round_learns_what_the_first_one_labelled(tmp_path: Path) -> None:
    run = training_run(tmp_path)
    found = train_classifier(
        dataset(30), LMS, with_second_round(), run, unlabeled=lambda: UNLABELED
    )
    assert "self-training: labelling 40 texts" in notes(run)
    (first, second) = [line for line in notes(run) if "classifier:" in line]
    assert first == "forward classifier: 30 documents"
    assert 30 < int(second.split()[2]) <= 50
    kept = np.load(tmp_path / FOLDER / "labelled.npz")
    assert len(kept["lengths"]) == int(second.split()[2]) - 30
    plain = train_classifier(
        dataset(30), LMS, settings(), training_run(tmp_path / "plain"), unlabeled=lambda: UNLABELED
    )
    weights = [checksum(each.members[0].weights) for each in (found, plain)]
    assert weights[0] != weights[1]


def test_a_stopped_run_keeps_what_was_labelled(tmp_path: Path) -> None:
    def trained(*, resume: bool) -> int:
        run = training_run(tmp_path, resume=resume)
        data, wanted = dataset(30), with_second_round()
        found = train_classifier(data, LMS, wanted, run, unlabeled=lambda: UNLABELED)
        return checksum(found.members[0].weights)

    whole = trained(resume=False)
    labelled = (tmp_path / FOLDER / "labelled.npz").read_bytes()
    (tmp_path / FOLDER / "forward" / "classifier" / "model" / "config.json").unlink()
    for path in (tmp_path / FOLDER / "forward" / "classifier" / "model").iterdir():
        path.unlink()
    (tmp_path / FOLDER / "forward" / "classifier" / "model").rmdir()
    assert trained(resume=True) == whole
    assert (tmp_path / FOLDER / "labelled.npz").read_bytes() == labelled


def test_held_out_documents_choose_the_round(tmp_path: Path) -> None:
    run = training_run(tmp_path)
    train_classifier(
        dataset(30),
        LMS,
        with_second_round(),
        run,
        unlabeled=lambda: UNLABELED,
        valid=dataset(20, seed=1),
    )
    (line,) = [line for line in notes(run) if "held-out error" in line]
    assert line.endswith(("the second is kept", "the first is kept"))


def test_texts_that_are_known_are_not_labelled_again() -> None:
    texts = ["a", "b", "a", " ", "c", "d"]
    assert sorted(pool_of(texts, {"b"}, 10)) == ["a", "c", "d"]
    assert len(pool_of(texts, (), 2)) == 2
    assert pool_of(texts, (), 2) == pool_of(reversed(texts), (), 2), "the order does not count"


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
    with pytest.raises(SettingsError) as caught:
        train_classifier(
            several, LMS, with_second_round(), training_run(tmp_path), unlabeled=lambda: UNLABELED
        )
    assert "expected one label for each text" in str(caught.value)
