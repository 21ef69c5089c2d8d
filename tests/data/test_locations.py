from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ulmfit.data.folders import Split
from ulmfit.data.locations import available_splits, locate, named_sets, open_source
from ulmfit.errors import InputError


def count(source: str | Path, split: Split = "train", data_dir: Path | None = None) -> int:
    with open_source(source, split=split, data_dir=data_dir) as table:
        return sum(batch.num_rows for batch in table)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    for name in ("reviews", "mails"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.csv").write_text("text,label\na b,1\n")
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_the_packaged_set_needs_no_folder() -> None:
    assert count("name:trec6") == 5452
    assert count("name:trec6", "test") == 500
    assert available_splits("name:trec6") == ["train", "test"]
    with open_source("name:trec6") as table:
        assert table.name == "name:trec6 (train)"


def test_the_packaged_set_has_its_source_beside_it() -> None:
    note = (locate("name:trec6") / "SOURCE.md").read_text()
    assert "Li and Roth" in note
    assert "Licence" in note


def test_the_packaged_set_is_that_of_the_shared_folder(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("trec6")
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        with (
            open_source(folder, split=split) as theirs,
            open_source("name:trec6", split=split) as ours,
        ):
            rows = [
                [row for batch in table for row in batch.to_pylist()] for table in (theirs, ours)
            ]
        assert rows[0] == rows[1]


def test_named_sets_are_the_folders_of_the_data_folder(data_dir: Path) -> None:
    assert list(named_sets(data_dir)) == ["mails", "reviews", "trec6"]
    assert count("name:reviews", data_dir=data_dir) == 1


def test_a_wrong_name_lists_the_right_ones_and_offers_the_nearest(data_dir: Path) -> None:
    with pytest.raises(InputError) as caught:
        locate("name:review", data_dir)
    assert str(caught.value) == (
        f"no data set is called 'review' in {data_dir}: expected one of mails, reviews, trec6. "
        "Did you mean name:reviews?"
    )


def test_a_name_without_a_data_folder_says_how_to_give_one() -> None:
    with pytest.raises(InputError, match=r"one of trec6. Check the name. `--data-dir DIR` adds"):
        locate("name:imdb")


def test_a_data_folder_that_is_none(data_dir: Path) -> None:
    with pytest.raises(InputError, match=r"notes\.txt: is a file: expected a folder with one"):
        locate("name:x", data_dir / "notes.txt")
    with pytest.raises(InputError, match="no such file or folder"):
        locate("name:x", data_dir / "none")


def test_files_folders_and_stdin(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert count(data_dir / "reviews") == count(str(data_dir / "reviews" / "train.csv")) == 1
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    assert count("-") == 2


def test_single_files_and_stdin_have_no_splits(data_dir: Path) -> None:
    assert available_splits(data_dir / "reviews" / "train.csv") == []
    assert available_splits("-") == []
    assert available_splits(data_dir / "reviews") == ["train"]
