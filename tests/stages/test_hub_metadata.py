from __future__ import annotations

from typing import Any

import pytest

from ulmfit.stages.hub_metadata import front_matter, hub_licence

INFO = {"lm": {"licence": "CC BY-SA 3.0 (trained on Wikipedia text)"}}


def read(lines: list[str]) -> Any:
    """As the hub reads it."""
    from huggingface_hub import ModelCard

    return ModelCard("\n".join([*lines, "", "# A card"])).data


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CC BY-SA 3.0 (trained on Wikipedia text)", "cc-by-sa-3.0"),
        ("CC-BY-SA-4.0", "cc-by-sa-4.0"),
        ("cc by-nc-nd 4.0", "cc-by-nc-nd-4.0"),
        ("CC0", "cc0-1.0"),
        ("Apache-2.0", "apache-2.0"),
        ("MIT", "mit"),
        ("mit", "mit"),
        ("The MIT License", "mit"),
        ("frei mit Namensnennung", "other"),
        ("apache 2.0, bsd-3", "apache-2.0"),
        ("permitted to friends", "other"),
        ("", "other"),
    ],
)
def test_licences_as_the_hub_spells_them(text: str, name: str) -> None:
    assert hub_licence(text) == name


def test_the_hub_reads_what_is_there() -> None:
    metrics = {"test_error": 0.04, "test_macro_f1": 0.95, "data": {"name": "reviews.csv"}}
    data = read(front_matter(6, INFO, metrics))
    assert (data.license, data.library_name) == ("cc-by-sa-3.0", "ulmfit")
    assert data.pipeline_tag == "text-classification"
    assert "ulmfit" in data.tags
    accuracy, f1 = data.eval_results
    assert (accuracy.metric_type, accuracy.metric_value) == ("accuracy", 0.96)
    assert (f1.metric_value, f1.dataset_name) == (0.95, "reviews.csv")


def test_without_a_test_and_a_licence_nothing_is_made_up() -> None:
    data = read(front_matter(2, {}, {}))
    assert data.license is None and data.eval_results is None
    assert read(front_matter(2, {"lm": "x"}, {"test_error": "low"})).eval_results is None


def test_another_licence_has_its_name_beside_it() -> None:
    data = read(front_matter(2, {"lm": {"licence": 'for "friends": only'}}, {}))
    assert (data.license, data.license_name) == ("other", 'for "friends": only')


@pytest.mark.parametrize(
    "name", ['a: b #c "d"', "---\nx: y", "\x00\x85\u2028\ud800", "{{template}}", "[1, 2", "é 文"]
)
def test_names_cannot_break_it(name: str) -> None:
    data = read(front_matter(2, {}, {"test_error": 0.5, "data": {"name": name}}))
    assert data.eval_results[0].dataset_name == name.replace("\ud800", "?")
