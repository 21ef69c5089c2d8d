"""The second round, on what the first one labelled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.apps.test_training import LMS, dataset, notes, settings, training_run
from ulmfit.apps.self_training import FEW_LABELS, FOLDER, drawn
from ulmfit.apps.training import train_classifier
from ulmfit.data.datasets import Dataset
from ulmfit.errors import InputError
from ulmfit.settings import SelfTrainingSettings, Settings
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
    assert "self-training: a second round, also on 20 unlabelled texts" in notes(run)
    assert [line for line in notes(run) if "classifier:" in line] == [
        "forward classifier: 30 documents",
        "forward classifier: 50 documents",
    ]
    targets = np.load(tmp_path / FOLDER / "answers.npz")["targets"]
    assert targets.shape == (20, 2)
    assert targets.sum(axis=1) == pytest.approx(np.ones(20))
    assert ((targets > 0) & (targets < 1)).all(), "soft"
    assert "also 20 texts without labels" in found.card()
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

    whole = trained(resume=False)
    answers = (tmp_path / FOLDER / "answers.npz").read_bytes()
    (tmp_path / FOLDER / "forward" / "classifier" / "model" / "config.json").unlink()
    for path in (tmp_path / FOLDER / "forward" / "classifier" / "model").iterdir():
        path.unlink()
    (tmp_path / FOLDER / "forward" / "classifier" / "model").rmdir()
    assert trained(resume=True) == whole
    assert (tmp_path / FOLDER / "answers.npz").read_bytes() == answers


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


def test_texts_that_are_known_are_not_drawn() -> None:
    texts = ["a", "b", "a", " ", "c", "d"]
    assert sorted(drawn(texts, {"b"}, 10)) == ["a", "c", "d"]
    assert len(drawn(texts, (), 2)) == 2
    assert drawn(texts, (), 2) == drawn(reversed(texts), (), 2), "the order does not count"


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


def second_rounds(n_rows: int, folder: Path, **changes: object) -> int:
    """How often a second round is announced in training on so many rows."""
    run = training_run(folder)
    train_classifier(dataset(n_rows), LMS, settings(**changes), run, unlabeled=lambda: UNLABELED)
    return len([line for line in notes(run) if line.startswith("self-training:")])


def test_few_labels_and_more_texts_call_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ulmfit.apps.self_training.FEW_LABELS", 20)
    usual = SelfTrainingSettings()
    assert second_rounds(20, tmp_path / "few", self_training=usual) == 1
    assert second_rounds(21, tmp_path / "more", self_training=usual) == 0
    asked = usual.with_choices(["documents"])
    assert second_rounds(21, tmp_path / "asked", self_training=asked) == 1
    assert second_rounds(20, tmp_path / "off", self_training=None) == 0


def test_unasked_for_it_needs_texts_without_labels(tmp_path: Path) -> None:
    run, labelled = training_run(tmp_path), dataset(30)
    assert len(labelled) < FEW_LABELS
    usual = settings(self_training=SelfTrainingSettings())
    train_classifier(labelled, LMS, usual, run, unlabeled=lambda: labelled.texts)
    assert not [line for line in notes(run) if line.startswith("self-training:")]


def test_it_is_said_when_nothing_reads_the_texts(tmp_path: Path) -> None:
    def said(wanted: Settings, folder: Path) -> bool:
        run = training_run(folder)
        train_classifier(dataset(30), LMS, wanted, run, unlabeled=lambda: UNLABELED)
        return "the texts without labels are not used" in notes(run)

    assert said(settings(finetune_lm=None), tmp_path / "unread")
    assert not said(settings(), tmp_path / "by the LM")


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
