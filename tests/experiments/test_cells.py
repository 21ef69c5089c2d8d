from __future__ import annotations

from dataclasses import replace

import pytest

from tests.experiments.conftest import experiment, plan_of, plans_of
from ulmfit.errors import SettingsError
from ulmfit.experiments.cells import expand, make_plan, tasks_of
from ulmfit.experiments.recipes import Scale, Variant, find_experiments, read_scale

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
