from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.displays import Notes
from tests.experiments.conftest import experiment, last_task, plan_of, plans_of
from ulmfit.data.datasets import Dataset
from ulmfit.errors import InputError
from ulmfit.experiments.ablations import Member, measured, read_curve, run_task
from ulmfit.experiments.cells import tasks_of
from ulmfit.experiments.language_models import Site
from ulmfit.experiments.recipes import Method, Scale, Variant
from ulmfit.train.tracker import Silent


@pytest.mark.parametrize("method", ["ulmfit", "hypercolumns", "multitask"])
def test_each_method_answers_the_validation_rows(method: Method, scale: Scale, site: Site) -> None:
    plan = plan_of(Variant(name="x", method=method), scale)
    for task in tasks_of(plan):
        run_task(task, site, Silent())
    result = json.loads(last_task(plan).outcome(site.work).read_text("utf-8"))
    answers = np.array(result["probabilities"])
    assert answers.shape == (8, 2)
    assert np.allclose(answers.sum(axis=1), 1, atol=1e-4)
    assert sorted(set(result["truth"])) == [0, 1]
    epochs = [record["epoch"] for record in result["curve"]]
    assert epochs == ([] if method == "hypercolumns" else [1, 2, 3])
    assert all(0 <= record["error"] <= 100 for record in result["curve"])
    assert not (last_task(plan).folder(site.work) / "checkpoints").exists()


@pytest.mark.parametrize("method", ["tfidf", "nb-svm", "n-grams"])
def test_baselines_answer_the_test_rows(method: Method, scale: Scale, site: Site) -> None:
    plan = plan_of(Variant(name="x", method=method), scale, metric="test", low_shot=True)
    run_task(last_task(plan), site, Silent())
    result = json.loads(last_task(plan).outcome(site.work).read_text("utf-8"))
    wrong = np.array(result["probabilities"]).argmax(axis=1) != np.array(result["truth"])
    assert wrong.mean() < 0.3, "an adjective tells"


@pytest.mark.parametrize("labels", [8, None])
def test_the_whole_of_train_is_one_member(labels: int | None, scale: Scale, site: Site) -> None:
    variant = Variant(
        name="x",
        method="train",
        directions=("forward", "backward"),
        set={"self_training.documents": 10, "self_training.epochs": 2},
    )
    own = experiment(variant, metric="test", low_shot=True)
    (plan,) = [plan for plan in plans_of([own], scale) if plan.cell.labels == labels]
    kinds = [task.kind for task in tasks_of(plan)]
    assert kinds == ["pretrain", "tune"] * 2 + ["train"]
    notes = Notes()
    for task in tasks_of(plan):
        run_task(task, site, notes)
    result = json.loads(last_task(plan).outcome(site.work).read_text("utf-8"))
    assert np.array(result["probabilities"]).shape == (80, 2)
    said = "\n".join(notes.lines)
    assert ("a second round, with 10 of them" in said) == (labels is not None), "all have labels"
    assert "backward classifier" in said
    assert [path.name for path in last_task(plan).folder(site.work).iterdir()] == ["result.json"]


def test_what_is_done_is_not_done_again(scale: Scale, site: Site) -> None:
    task = last_task(plan_of(Variant(name="x", method="tfidf"), scale))
    task.folder(site.work).mkdir(parents=True)
    task.outcome(site.work).write_text("kept", "utf-8")
    run_task(task, site, Silent())
    assert task.outcome(site.work).read_text("utf-8") == "kept"


def test_a_class_that_was_not_drawn_is_named() -> None:
    member = Member(["a", "b"], lambda texts: np.zeros((len(texts), 2)))
    with pytest.raises(InputError, match="label 'c' does not occur among the rows trained on"):
        measured(member, Dataset(["x"], ["c"]))


def test_the_last_record_of_an_epoch_counts(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    records = [
        {"step": 1, "epoch": 0, "train_loss": 2.0, "valid_loss": 1.5, "error": 0.5},
        {"step": 2, "epoch": 0, "train_loss": 1.0, "valid_loss": 1.2, "error": 0.25},
        {"step": 3, "back_to": 2, "cause": "the loss is nan", "rate_factor": 0.5},
        {"step": 4, "epoch": 1, "train_loss": 0.5},
    ]
    log.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    assert read_curve(log) == [
        {"epoch": 1, "train_loss": 1.0, "valid_loss": 1.2, "error": 25.0},
        {"epoch": 2, "train_loss": 0.5, "rate_factor": 0.5},
    ]
