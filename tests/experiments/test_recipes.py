from __future__ import annotations

from pathlib import Path

import pytest

from ulmfit.errors import SettingsError
from ulmfit.experiments.recipes import (
    find_experiments,
    list_experiments,
    read_experiment,
    read_scale,
    recipe_folder,
)

TABLES = ["table2", "table3", "figure3", "table4", "table5", "table6", "table7", "figure4"]
OTHERS = ["bidirectionality", "transfer", "baselines"]

OWN = """
order = 1
title = "t"
section = "s"
question = "q"
metric = "test"
datasets = ["trec6"]
reference = "{reference}"
[[variants]]
name = "a"
[[variants]]
name = "{second}"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_table_and_figure_has_a_file_and_the_file_its_command() -> None:
    assert [experiment.name for experiment in list_experiments()] == [*TABLES, *OTHERS]
    for name in (*TABLES, *OTHERS):
        first = (
            (recipe_folder() / "experiments" / f"{name}.toml").read_text("utf-8").splitlines()[0]
        )
        assert first.startswith(f"# ulmfit reproduce {name} --scale")


@pytest.mark.parametrize("name", ["smoke", "cpu", "full"])
def test_settings_of_every_row_are_valid_at_every_scale(name: str) -> None:
    scale = read_scale(name)
    rows = [(e, variant) for e in list_experiments() for variant in e.variants]
    assert len(rows) > 30
    for experiment, variant in rows:
        for dataset in set(experiment.datasets) & set(scale.datasets):
            settings = scale.settings(variant, dataset, experiment.metric)
        assert settings.finetune_lm is not None
        if variant.name == experiment.reference and variant.method == "ulmfit":
            # Table 6 is about rates: there no text's length changes them.
            other = set(variant.set) - {"finetune_lm.by_length"}
            assert not other, "what the paper proposes is what the scale says"


def test_every_experiment_runs_at_the_smoke_scale() -> None:
    known = set(read_scale("smoke").datasets)
    assert all(known & set(experiment.datasets) for experiment in list_experiments())


def test_the_row_that_tables_share_has_the_same_numbers_in_all_of_them() -> None:
    shared = {"imdb": 5.00, "trec6": 5.69, "ag_news": 5.38}
    for experiment in find_experiments(["table4", "table5", "table6", "table7", "transfer"]):
        rows = {variant.name: variant.paper for variant in experiment.variants}
        assert rows[experiment.reference] == shared


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"'tabel7'.*Did you mean 'table7'\?"):
        find_experiments(["tabel7"])
    with pytest.raises(SettingsError, match="scale 'huge' is unknown: expected one of cpu, full,"):
        read_scale("huge")


def test_all_and_own_files_are_found_once(tmp_path: Path) -> None:
    own = write(tmp_path, OWN.format(reference="a", second="b"))
    found = find_experiments(["table7", "all", str(own)])
    assert found[0].name == "table7"
    assert len(found) == len(TABLES) + len(OTHERS) + 1
    assert found[-1].variants[1].name == "b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OWN.format(reference="c", second="b"), "reference = 'c': expected the name of a variant"),
        (OWN.format(reference="a", second="a"), "two variants are called 'a'"),
        ("order = 'x", "cannot be read"),
        ("order = 1", "title: Field required"),
        (OWN.format(reference="a", second="b") + 'method = "magic"', "variants.1.method"),
        (
            OWN.format(reference="a", second="b") + 'method = "tfidf"\nword_counts = true',
            "'b' has word_counts and method = 'tfidf'",
        ),
        (
            OWN.format(reference="a", second="b") + 'method = "train"\nword_counts = true',
            "'b' has word_counts and method = 'train'",
        ),
        (
            OWN.format(reference="a", second="b") + 'method = "word-counts"',
            "'b' has method = 'word-counts'",
        ),
        (
            OWN.format(reference="a", second="b").replace("trec6", "trec_6"),
            "data set 'trec_6' is unknown: expected one of imdb, trec6",
        ),
        (
            "by_epoch = true\nlow_shot = true\n" + OWN.format(reference="a", second="b"),
            "by_epoch = true .* and no low_shot",
        ),
    ],
)
def test_a_broken_file_is_named_with_its_fault(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=rf"own\.toml'.*{message}"):
        read_experiment(write(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"experiment '.*no\.toml' does not exist"):
        read_experiment(tmp_path / "no.toml")
