from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.experiments.conftest import experiment, plan_of, plans_of
from ulmfit.apps.pretrained import shipped_lms
from ulmfit.config import Direction
from ulmfit.errors import SettingsError
from ulmfit.experiments.cells import Plan, expand, make_plan, tasks_of
from ulmfit.experiments.language_models import lm_digests
from ulmfit.experiments.recipes import (
    DataSource,
    Metric,
    Scale,
    Variant,
    find_experiments,
    read_scale,
)
from ulmfit.experiments.results import shipped_results
from ulmfit.runtime import Precision
from ulmfit.stages import classifier_course, finetune_lm

ULMFIT = Variant(name="ULMFiT")
FULL = Variant(name="full", set={"classifier.unfreezing": "full"})


def keys(names: list[str]) -> dict[tuple[str, str, int], str]:
    scale = read_scale("cpu")
    cells = expand(find_experiments(names), scale, 2, datasets=["trec6"])
    lm = {"forward": "f" * 64, "backward": "b" * 64}
    plans = [make_plan(cell, e, v, scale, None, lm) for cell, e, v in cells]  # type: ignore[arg-type]
    return {(p.cell.experiment, p.cell.variant, p.cell.seed): p.key() for p in plans}


def test_rows_that_are_the_same_work_have_the_same_key() -> None:
    found = keys(["table4", "table5", "table6", "table7", "figure4", "transfer"])
    same = [
        ("table4", "with pretraining"),
        ("table5", "AWD-LSTM LM"),
        ("table7", "freez + discr + stlr"),
        ("figure4", "ULMFiT"),
        ("transfer", "ULMFiT"),
    ]
    assert len({found[(*row, 0)] for row in same}) == 1
    assert found["table7", "last", 1] == found["transfer", "last layer only", 1]
    rows = {name for name in found if name[0] == "table7" and name[2] == 0}
    assert len({found[name] for name in rows}) == len(rows) == 10
    assert found["table7", "full", 0] != found["table7", "full", 1]


def test_a_recipe_is_the_same_for_every_seed_and_no_other_row(scale: Scale) -> None:
    first, second = plans_of([experiment(ULMFIT)], scale, seeds=2)
    assert first.recipe() == second.recipe() != plan_of(FULL, scale).recipe()
    assert first.key() != second.key()


def test_another_language_model_is_other_work(scale: Scale) -> None:
    shipped = scale.model_copy(update={"lm": "en-small"})
    plan = plan_of(ULMFIT, shipped)
    other = replace(plan, lm=(("forward", "0" * 64),))
    less = replace(plan, precision="bf16")
    assert len({plan.key(), other.key(), less.key()}) == 3
    assert plan.recipe() != other.recipe()


def write_rows(path: Path, texts: Sequence[str], labels: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *zip(texts, labels, strict=True)])


def test_changed_rows_under_the_same_name_are_other_work(scale: Scale, tmp_path: Path) -> None:
    texts, labels = tiny.labelled_texts(80)
    for folder, first, last in (("was", 0, 80), ("copied", 0, 80), ("trained", 1, 80)):
        write_rows(tmp_path / folder / "own" / "train.csv", texts[first:last], labels[first:last])
        write_rows(tmp_path / folder / "own" / "test.csv", texts[:20], labels[:20])
    write_rows(tmp_path / "tested" / "own" / "train.csv", texts, labels)
    write_rows(tmp_path / "tested" / "own" / "test.csv", texts[1:20], labels[1:20])
    datasets = {"trec6": DataSource(source="name:own")}
    named = scale.model_copy(update={"corpus": "name:own", "datasets": datasets})

    def plan(folder: str, variant: Variant, metric: Metric) -> Plan:
        own = experiment(variant, metric=metric)
        ((cell, _, _),) = expand([own], named, 1)
        return make_plan(cell, own, variant, named, tmp_path / folder, {})

    folders = ("was", "copied", "tested", "trained")
    words = Variant(name="words", method="tfidf")
    was, copied, tested, trained = (plan(folder, words, "test") for folder in folders)
    assert was.key() == copied.key()
    assert len({was.key(), tested.key(), trained.key()}) == 3
    assert len({was.recipe(), tested.recipe(), trained.recipe()}) == 3
    was, copied, tested, trained = (plan(folder, words, "validation") for folder in folders)
    assert was.key() == copied.key() == tested.key(), "the test rows are not measured"
    was, copied, tested, trained = (plan(folder, ULMFIT, "test") for folder in folders)
    pretrain = [tasks_of(found)[0] for found in (was, copied, tested, trained)]
    assert [task.kind for task in pretrain] == ["pretrain"] * 4
    assert pretrain[0].key == pretrain[1].key == pretrain[2].key != pretrain[3].key


def test_what_the_length_of_the_text_decides_is_part_of_the_key(
    scale: Scale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five passes of LM tuning became three, and the key stayed what it was."""
    changes = {k: v for k, v in scale.set.items() if not k.endswith(".epochs")}
    scale = scale.model_copy(update={"set": changes})
    as_set = {"finetune_lm.by_length": False, "classifier.by_length": False}
    chosen = Variant(name="chosen", set=as_set)

    def keys(variant: Variant) -> tuple[str, str]:
        _, tune, train = tasks_of(plan_of(variant, scale))
        return tune.key, train.key

    before, before_chosen = keys(ULMFIT), keys(chosen)
    with monkeypatch.context() as patch:
        patch.setattr(classifier_course, "ENOUGH_STEPS", 2)
        after = keys(ULMFIT)
        assert after[0] == before[0]
        assert after[1] != before[1]
    monkeypatch.setattr(finetune_lm, "ENOUGH_TOKENS", 500)
    assert keys(ULMFIT)[0] != before[0]
    assert keys(chosen) == before_chosen


def test_committed_results_count_but_for_those_of_five_passes() -> None:
    scale, lm = read_scale("cpu"), lm_digests(shipped_lms()["en-small"])
    known = {experiment.name: experiment for experiment in find_experiments(["all"])}
    stale = set()
    for line in shipped_results():
        if (line.dataset, line.metric, line.labels) != ("trec6", "validation", None):
            continue
        own = known[line.experiment]
        variant = next(v for v in own.variants if v.name == line.variant)
        precision: Precision = "bf16" if line.hardware.endswith("bf16") else "float32"
        plan = make_plan(line.cell(), own, variant, scale, None, lm, precision)
        if (plan.key(), plan.recipe()) != (line.key, line.recipe):
            stale.add((line.experiment, line.variant))
    tuned = {v.name for v in known["table7"].variants} - {"from scratch"}
    assert stale == {
        *(("table7", name) for name in tuned),
        ("table4", "without pretraining"),
        ("table4", "with pretraining"),
        ("table5", "AWD-LSTM LM"),
        ("figure3", "ULMFiT, semi-supervised"),
        ("figure4", "full"),
        ("figure4", "ULMFiT"),
        ("transfer", "last layer only"),
        ("transfer", "ULMFiT"),
    }


def test_draws_of_other_lengths_are_one_recipe(scale: Scale) -> None:
    few = Variant(name="few", text="labelled")
    plans = plans_of([experiment(few, low_shot=True)], scale, seeds=3)
    assert len({plan.recipe() for plan in plans if plan.cell.labels == 8}) == 1


def test_what_train_adds_is_part_of_the_key(scale: Scale) -> None:
    both: tuple[Direction, ...] = ("forward", "backward")

    def key(**changes: object) -> str:
        return plan_of(Variant(name="x", method="train", directions=both, set=changes), scale).key()

    members = tasks_of(plan_of(Variant(name="both", directions=both), scale))
    *shared, train = tasks_of(plan_of(Variant(name="x", method="train", directions=both), scale))
    assert [task.key for task in shared] == [t.key for t in members if t.kind != "train"]
    assert [need.direction for need in train.needs] == ["forward", "backward"]
    assert key() == key()
    changes = ({"ngrams": None}, {"self_training.epochs": 3}, {"classifier.epochs": 4})
    assert len({key(), *(key(**change) for change in changes)}) == 4
    one = Variant(name="x", method="train", directions=("forward",))
    assert plan_of(one, scale).key() != key()


def test_members_share_what_they_can(scale: Scale) -> None:
    def names(variant: Variant) -> list[tuple[str, str]]:
        return [(task.kind, task.key) for task in tasks_of(plan_of(variant, scale))]

    both = names(Variant(name="both", directions=("forward", "backward")))
    assert [kind for kind, _ in both] == ["pretrain", "tune", "train"] * 2
    assert both[:3] == names(ULMFIT)
    assert names(FULL)[:2] == names(ULMFIT)[:2]
    assert [kind for kind, _ in names(Variant(name="s", lm="random"))] == ["tune", "train"]
    assert [kind for kind, _ in names(Variant(name="t", method="tfidf"))] == ["train"]


def test_the_first_seed_of_everything_comes_first(scale: Scale) -> None:
    own = experiment(Variant(name="t", method="tfidf"), ULMFIT, low_shot=True)
    cells = [cell for cell, _, _ in expand([own], scale, 2)]
    found = [(cell.seed, cell.labels, cell.variant) for cell in cells]
    assert found == [
        (0, 8, "t"),
        (0, 8, "ULMFiT"),
        (0, None, "t"),
        (0, None, "ULMFiT"),
        (1, 8, "t"),
        (1, 8, "ULMFiT"),
        (1, None, "ULMFiT"),
    ], "nothing is drawn in TF-IDF on all labels: one seed will do"
    assert str(cells[0]) == "own trec6 't', 8 labels, seed 0"


def test_a_method_that_draws_nothing_has_one_seed(scale: Scale) -> None:
    frozen = Variant(name="frozen", method="hypercolumns", finetune=False)
    tuned = Variant(name="tuned", method="hypercolumns")
    tfidf = Variant(name="tfidf", method="tfidf")
    found = plans_of([experiment(frozen, tuned, tfidf)], scale, seeds=2)
    seeds = [(plan.variant.name, plan.cell.seed) for plan in found]
    assert seeds == [("frozen", 0), ("tuned", 0), ("tfidf", 0), ("tuned", 1)]


def test_a_draw_of_more_rows_than_there_are_is_refused(scale: Scale) -> None:
    few = scale.datasets["trec6"].model_copy(update={"labels": (72,)})
    with pytest.raises(SettingsError, match="a draw of 72 from 72 labelled rows"):
        plans_of(
            [experiment(ULMFIT, low_shot=True)],
            scale.model_copy(update={"datasets": {"trec6": few}}),
        )


def test_only_some_draws(scale: Scale) -> None:
    own = experiment(ULMFIT, low_shot=True)

    def counts(labels: list[int | None]) -> list[int | None]:
        return [cell.labels for cell, _, _ in expand([own], scale, 1, labels=labels)]

    assert counts([]) == counts([8, None]) == [8, None]
    assert (counts([8]), counts([None]), counts([9])) == ([8], [None], [])


def test_a_scale_declares_how_many_labels_and_tokens_its_ablations_have(scale: Scale) -> None:
    own = scale.datasets["trec6"].model_copy(
        update={"ablation_labels": 12, "ablation_tokens": 5_000}
    )
    declared = scale.model_copy(update={"datasets": {"trec6": own}})

    def found(**changes: Any) -> list[tuple[int | None, int, int | None]]:
        return [
            (plan.cell.labels, plan.train_rows, plan.settings.finetune_lm.max_tokens)
            for plan in plans_of([experiment(ULMFIT, **changes)], declared)
            if plan.settings.finetune_lm is not None
        ]

    usual = plan_of(ULMFIT, scale).settings.finetune_lm
    assert usual is not None
    assert found() == [(12, 12, 5_000)]
    assert found(low_shot=True) == [(8, 8, 5_000), (None, 72, 5_000)]
    assert found(by_epoch=True) == [(None, 72, 5_000)], "few labels have no curve"
    assert found(metric="test") == [(None, 72, usual.max_tokens)]


def test_one_language_model_for_all_seeds(scale: Scale) -> None:
    def tunes(variant: Variant) -> int:
        once = {
            name: source.model_copy(update={"one_lm": True})
            for name, source in scale.datasets.items()
        }
        own = experiment(variant, low_shot=True)
        plans = plans_of([own], scale.model_copy(update={"datasets": once}), seeds=2)
        assert len({plan.key() for plan in plans}) == len(plans) == 4
        return len({t.key for plan in plans for t in tasks_of(plan) if t.kind == "tune"})

    assert tunes(ULMFIT) == 1
    assert tunes(Variant(name="few", text="labelled")) == 4


def test_data_sets_that_the_scale_lacks_are_left_out(scale: Scale) -> None:
    own = experiment(ULMFIT, datasets=("imdb", "trec6"))
    assert {cell.dataset for cell, _, _ in expand([own], scale, 1)} == {"trec6"}
    assert not expand([own], scale, 1, datasets=["imdb"])
