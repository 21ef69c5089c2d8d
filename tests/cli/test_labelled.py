from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import reviews, write_csv
from ulmfit.cli.labelled import Columns, load_parts
from ulmfit.errors import InputError, SettingsError


def test_a_part_is_held_out_where_there_is_no_test_data(data: Path) -> None:
    parts = load_parts(str(data / "train.csv"), Columns())
    assert parts.test is not None
    assert (len(parts.train), len(parts.test)) == (96, 24)
    assert parts.origin == (
        f"held out of {data / 'train.csv'} with the labels in proportion (no --test given)"
    )
    assert parts.test.labels is not None
    assert sum(label == "pos" for label in parts.test.labels) == 12
    assert parts.summary() == (
        f"training data: 96 rows, 2 classes, from {data / 'train.csv'}\n"
        f"test data: 24 rows, {parts.origin}"
    )


def test_the_held_out_rows_are_the_same_for_every_seed_and_limit(data: Path) -> None:
    first = load_parts(str(data / "train.csv"), Columns(), seed=1)
    second = load_parts(str(data / "train.csv"), Columns(), seed=2, limit=10)
    assert first.test is not None
    assert second.test is not None
    assert first.test.texts == second.test.texts
    assert len(second.train) == 10
    assert set(second.train.texts) <= set(first.train.texts)


def test_test_data_is_taken_as_it_is(data: Path) -> None:
    parts = load_parts(str(data / "train.csv"), Columns(), test=str(data / "test.csv"))
    assert parts.test is not None
    assert (len(parts.train), len(parts.test)) == (120, 40)


def test_a_data_set_with_a_test_split_brings_its_own() -> None:
    parts = load_parts("name:trec6", Columns(), limit=600)
    assert parts.test is not None
    assert (len(parts.train), len(parts.test)) == (600, 500)
    assert parts.origin == "the test split of name:trec6"


def test_nothing_is_held_out_on_request(data: Path) -> None:
    parts = load_parts(str(data / "train.csv"), Columns(), test_fraction=0)
    assert parts.test is None
    assert len(parts.train) == 120


def test_a_share_that_is_none_is_refused(data: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"--test-fraction 20 is out of range: expected a share"
    ):
        load_parts(str(data / "train.csv"), Columns(), test_fraction=20)


def test_a_huge_data_set_gives_no_more_than_it_needs(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", reviews(30_000), ("text", "label"))
    parts = load_parts(str(path), Columns())
    assert parts.test is not None
    assert len(parts.test) == 5_000


def test_labels_that_training_lacks_are_found_before_training(tmp_path: Path, data: Path) -> None:
    test = write_csv(
        tmp_path / "test.csv", [("a film", "pos"), ("so so", "mid")], ("text", "label")
    )
    with pytest.raises(InputError) as caught:
        load_parts(str(data / "train.csv"), Columns(), test=str(test))
    assert str(caught.value) == (
        f"{test}: the label 'mid' (1 row) is not in the 120 training rows: expected labels out of "
        "'neg', 'pos'. Take these rows out, or add rows of these classes to the training data."
    )


def test_several_labels_here_and_one_there_are_refused(tmp_path: Path, data: Path) -> None:
    test = tmp_path / "test.jsonl"
    test.write_text('{"text": "a film", "label": ["pos"]}\n')
    with pytest.raises(InputError, match="has several labels per row: expected one label per row"):
        load_parts(str(data / "train.csv"), Columns(), test=str(test))


def test_labels_in_one_string_are_parted(tmp_path: Path) -> None:
    rows = [("cat and dog", "cat|dog"), ("only a cat", "cat"), ("a tree", "")] * 5
    path = write_csv(tmp_path / "a.csv", rows, ("text", "label"))
    dataset = Columns(multi_label=True).load(str(path))
    assert dataset.labels is not None
    assert dataset.labels[:3] == [("cat", "dog"), ("cat",), ()]
    commas = write_csv(tmp_path / "b.csv", [("cat and dog", "cat, dog")] * 2, ("text", "label"))
    assert Columns(label_separator=",").load(str(commas)).classes == ["cat", "dog"]


def test_several_labels_in_one_string_are_warned_of(tmp_path: Path) -> None:
    rows = [(f"text number {n}", ("billing", "urgent", "billing|urgent")[n % 3]) for n in range(60)]
    path = write_csv(tmp_path / "tags.csv", rows, ("text", "tags"))
    with pytest.warns(UserWarning, match=r"such as 'billing\|urgent'; each .* `--multi-label`"):
        load_parts(str(path), Columns())


def test_columns_go_to_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text;t2;k\nnö;grün;x\nja;blau;y\n".encode("latin-1"))
    dataset = Columns(text="t2", label="k", encoding="latin-1").load(str(path))
    assert dataset.texts == ["grün", "blau"]
    assert dataset.labels == ["x", "y"]
