"""A tiny scale: glad and sad sentences, and a language model that is pretrained on the spot."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import tiny
from ulmfit.apps.training import train_on_tuned
from ulmfit.experiments.cells import Plan, Task, expand, make_plan, tasks_of
from ulmfit.experiments.language_models import Site
from ulmfit.experiments.recipes import DataSource, Experiment, Metric, Scale, Variant
from ulmfit.experiments.results import Result

SETTINGS = {
    "pretrain.emb_size": 6,
    "pretrain.hidden_size": 8,
    "pretrain.n_layers": 2,
    "pretrain.text.min_freq": 1,
    "pretrain.batch_size": 4,
    "pretrain.bptt": 10,
    "pretrain.valid_fraction": 0.2,
    "pretrain.softmax_samples": None,
    "finetune_lm.epochs": 1,
    "finetune_lm.batch_size": 4,
    "finetune_lm.least_steps": 1,
    "finetune_lm.bptt": 10,
    "finetune_lm.min_freq": 1,
    "finetune_lm.softmax_samples": None,
    "classifier.epochs": 3,
    "classifier.batch_size": 16,
}


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file of 80 labelled sentences."""
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        texts, labels = tiny.labelled_texts(80)
        csv.writer(file).writerows([("text", "label"), *zip(texts, labels, strict=True)])
    return path


@pytest.fixture(scope="session")
def scale(rows: Path) -> Scale:
    """All of it in a second or two a cell."""
    source = DataSource(source=str(rows), labels=(8,))
    return Scale(
        name="smoke",
        title="tiny",
        preset="default",
        set=SETTINGS,
        corpus=str(rows),
        datasets={"trec6": source},
    )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A work folder of one's own."""
    return Site(tmp_path / "work", cpu=True, trainer=train_on_tuned)


def experiment(*variants: Variant, name: str = "own", **changes: object) -> Experiment:
    """An experiment on the validation part, of these rows; the last is the reference."""
    fields = {
        "name": name,
        "order": 1,
        "title": "Own",
        "section": "ours",
        "question": "Well?",
        "metric": "validation",
        "datasets": ("trec6",),
        "reference": variants[-1].name,
        "variants": variants,
        **changes,
    }
    return Experiment.model_validate(fields)


def plans_of(experiments: Sequence[Experiment], scale: Scale, seeds: int = 1) -> list[Plan]:
    """Plans of all cells."""
    cells = expand(experiments, scale, seeds)
    return [make_plan(cell, e, variant, scale, None, {}) for cell, e, variant in cells]


def plan_of(
    variant: Variant, scale: Scale, *, metric: Metric = "validation", low_shot: bool = False
) -> Plan:
    """The plan of one variant."""
    own = experiment(variant, metric=metric, low_shot=low_shot)
    return plans_of([own], scale)[0]


def last_task(plan: Plan) -> Task:
    """The training of its only member."""
    return tasks_of(plan)[-1]


def result(
    variant: str = "ULMFiT",
    seed: int = 0,
    error: float = 5.0,
    *,
    experiment: str = "table7",
    dataset: str = "trec6",
    labels: int | None = None,
    rows: int = 500,
    scale: str = "cpu",
    recipe: str = "r",
    curve: Sequence[float] = (),
) -> Result:
    """A result as a run would write it."""
    return Result(
        experiment=experiment,
        dataset=dataset,
        variant=variant,
        labels=labels,
        seed=seed,
        scale=scale,
        metric="validation",
        error=error,
        wrong=round(error * rows / 100),
        rows=rows,
        train_rows=labels or 4907,
        members={"forward": error},
        curve=[{"epoch": n, "error": e} for n, e in enumerate(curve, start=1)],
        key=f"{recipe}-{variant}-{seed}",
        recipe=f"{recipe}-{variant}",
        settings="s",
        data="d",
        lm=None,
        seconds=60.0,
        hardware="a processor, 1 thread",
        command="ulmfit reproduce table7",
        commit="abc",
    )
