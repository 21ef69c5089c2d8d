from __future__ import annotations

from pathlib import Path

import pytest

from ulmfit.data.folders import (
    Split,
    class_folders,
    number_order,
    open_folder,
    split_places,
)
from ulmfit.errors import InputError


def put(folder: Path, **files: str) -> Path:
    """Files by their paths, "/" written as "__"."""
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".txt").write_text(content)
    return folder


def read(folder: Path, split: Split = "train") -> list[tuple[object, ...]]:
    with open_folder(folder, split) as table:
        return [tuple(row.values()) for batch in table for row in batch.to_pylist()]


@pytest.fixture
def acl_imdb(tmp_path: Path) -> Path:
    folder = put(
        tmp_path / "aclImdb",
        train__pos__9_7="fine",
        train__pos__10_8="great\nfun",
        train__neg__0_1="dull",
        train__unsup__0_0="unknown",
        train__urls_pos="http://nowhere",
        test__pos__0_9="good",
        test__neg__1_2="bad",
        README="about",
    )
    (folder / "train" / "labeledBow.feat").write_text("9 0:1")
    (folder / "train" / "pos" / ".DS_Store").write_bytes(b"\0")
    return folder


def test_the_splits_of_acl_imdb(acl_imdb: Path) -> None:
    assert read(acl_imdb, "train") == [
        ("neg/0_1.txt", "dull", "neg"),
        ("pos/9_7.txt", "fine", "pos"),
        ("pos/10_8.txt", "great\nfun", "pos"),
    ]
    assert read(acl_imdb, "test") == [
        ("neg/1_2.txt", "bad", "neg"),
        ("pos/0_9.txt", "good", "pos"),
    ]
    assert read(acl_imdb, "unsup") == [("0_0.txt", "unknown")]


def test_a_part_of_acl_imdb_given_by_itself(acl_imdb: Path) -> None:
    for split in ("train", "test"):
        assert len(read(acl_imdb / "train", split)) == 3
    assert read(acl_imdb / "train" / "unsup") == [("0_0.txt", "unknown")]


def test_a_split_that_is_not_there(acl_imdb: Path) -> None:
    with pytest.raises(InputError, match="has no valid split: expected one of: train, test, unsup"):
        read(acl_imdb, "valid")


def test_class_folders_whatever_their_files_are_called(tmp_path: Path) -> None:
    (tmp_path / "sci.space").mkdir()
    (tmp_path / "sci.space" / "60821").write_text("orbit")
    put(tmp_path, rec__a="ball", empty__x="")
    (tmp_path / "empty" / "x.txt").unlink()
    (tmp_path / ".git").mkdir()
    assert [folder.name for folder in class_folders(tmp_path)] == ["rec", "sci.space"]
    assert read(tmp_path) == [
        ("rec/a.txt", "ball", "rec"),
        ("sci.space/60821", "orbit", "sci.space"),
    ]


@pytest.mark.parametrize("name", ["dev", "test", "val", "training", "unlabeled", "train"])
def test_a_class_may_be_called_as_a_split(tmp_path: Path, name: str) -> None:
    put(tmp_path, ops__a="disk", sales__b="offer", **{f"{name}__c": "mine"})
    assert split_places(tmp_path) == {}
    assert {row[2] for row in read(tmp_path)} == {"ops", "sales", name}


def test_folders_of_text_files_beside_a_training_part_are_splits(tmp_path: Path) -> None:
    put(tmp_path, train__a="one", dev__b="two")
    assert read(tmp_path, "valid") == [("b.txt", "two")]
    put(tmp_path / "more", train__pos__a="one", dev__b="two", unlabeled__c="three")
    assert list(split_places(tmp_path / "more")) == ["train", "unsup", "valid"]
    assert class_folders(tmp_path / "more") == []


def test_a_folder_of_text_files_has_no_labels(tmp_path: Path) -> None:
    assert read(put(tmp_path, b2="two", b10="ten")) == [("b2.txt", "two"), ("b10.txt", "ten")]


@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz", "train.jsonl", "training.tsv"])
def test_a_file_per_split(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert split_places(tmp_path) == {"train": tmp_path / name}


def test_split_names_of_others(tmp_path: Path) -> None:
    for name in ("train.csv", "test.parquet", "validation.csv", "unlabeled.txt", "notes.csv"):
        (tmp_path / name).touch()
    places = split_places(tmp_path)
    assert {split: path.name for split, path in places.items()} == {
        "train": "train.csv",
        "test": "test.parquet",
        "unsup": "unlabeled.txt",
        "valid": "validation.csv",
    }


def test_the_files_of_trec(tmp_path: Path) -> None:
    (tmp_path / "train_5500.label").write_text("NUM:dist How far ?\n")
    (tmp_path / "TREC_10.label").write_text("HUM:ind Who ?\n")
    assert read(tmp_path, "train") == [("How far ?", "NUM", "NUM:dist")]
    assert read(tmp_path, "test") == [("Who ?", "HUM", "HUM:ind")]


@pytest.mark.parametrize("files", [[], ["picture.png", "data.xlsx"]])
def test_a_folder_with_nothing_usable(tmp_path: Path, files: list[str]) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"\0")
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    held = ", ".join(sorted(files)) or "no files"
    assert f"{tmp_path}: nothing in it can be read (it has {held})" in str(caught.value)
    assert "expected a folder per class, files called train and test, or one of CSV" in str(
        caught.value
    )


def test_a_document_that_is_not_text_is_named(tmp_path: Path) -> None:
    put(tmp_path, pos__a="fine", neg__b="dull")
    (tmp_path / "pos" / "c.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(InputError, match=r"pos/c\.jpg: is a JPEG image"):
        read(tmp_path)


def test_files_are_in_the_order_of_their_numbers() -> None:
    assert sorted(["10_1", "9_2", "9_10", "a"], key=number_order) == ["9_2", "9_10", "10_1", "a"]
