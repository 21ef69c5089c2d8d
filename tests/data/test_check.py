from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ulmfit.data.check import CheckReport, check_dataset
from ulmfit.errors import InputError

GOOD = [(f"this is the good film number {n}", "pos") for n in range(10)]
BAD = [(f"this is the dull film number {n}", "neg") for n in range(10)]


def put(path: Path, *rows: tuple[str, str]) -> Path:
    with path.open("w") as file:
        for text, label in rows:
            file.write(json.dumps({"text": text, "label": label}) + "\n")
    return path


def problems(report: CheckReport) -> list[str]:
    return [finding.problem for finding in report.warnings]


def test_a_clean_set_has_no_warnings(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", *GOOD, *BAD, ("and one more good film", "pos"))
    report = check_dataset(path)
    assert report.warnings == []
    assert (report.test, report.overlap) == (None, None)
    assert report.data.rows == 21
    assert list(report.data.labels.items()) == [("pos", 11), ("neg", 10)]
    assert (report.data.text_column, report.data.label_column) == ("text", "label")
    assert report.data.encoding == "utf-8"
    assert report.data.words["median"] == 7
    assert json.dumps(report.to_dict())


def test_blank_texts_and_copies_with_their_rows_and_beginnings(tmp_path: Path) -> None:
    copy, near = GOOD[0], ("This is the GOOD film: number 1!", "neg")
    path = put(tmp_path / "a.jsonl", ("", "pos"), *GOOD, *BAD, copy, near, (" ", "neg"))
    report = check_dataset(path)
    assert (report.data.empty_rows, report.data.conflicting_texts) == (2, 1)
    assert (report.data.duplicate_rows, report.data.near_duplicate_rows) == (1, 1)
    blank, copies, conflict = report.warnings
    assert blank.problem == "Empty or blank texts: 2 of 24"
    assert (blank.rows, blank.excerpts) == ([1, 24], ["", ""])
    assert copies.problem == (
        "Rows with the text of an earlier row: 2 of 24 (1 to the letter, 1 but for case, spaces "
        "and punctuation)"
    )
    assert (copies.rows, copies.excerpts) == ([22, 23], [copy[0], near[0]])
    assert conflict.problem == "Texts under different labels: 1"
    assert (conflict.rows, conflict.excerpts) == ([3, 23], [GOOD[1][0], near[0]])


def test_overlap_of_training_and_test(tmp_path: Path) -> None:
    data = put(tmp_path / "a.jsonl", *GOOD, *BAD)
    test = put(
        tmp_path / "b.jsonl",
        ("a new one", "pos"),
        ("This is the good film, number 3", "pos"),
        ("This is the dull film, number 3", "pos"),
        ("a newer one", "fair"),
    )
    report = check_dataset(data, test=test)
    assert report.overlap is not None
    assert (report.overlap.rows, report.overlap.other_label) == (2, 1)
    overlap, unknown, missing = report.warnings
    assert (
        overlap.problem
        == "Test texts that are in the training data too: 2 of 4, 1 under another label"
    )
    assert (overlap.part, overlap.rows) == ("test", [2, 3])
    assert overlap.excerpts[0] == "This is the good film, number 3"
    assert unknown.problem == "Labels of the test data that the training data lack: 'fair' (1)"
    assert missing.problem == "Classes without a test row: 'neg' (10)"


def test_the_test_split_of_a_folder_is_looked_at_unasked(tmp_path: Path) -> None:
    put(tmp_path / "train.jsonl", *GOOD, *BAD)
    put(tmp_path / "test.jsonl", GOOD[0], ("a new one", "neg"))
    report = check_dataset(tmp_path)
    assert report.test is not None
    assert report.overlap is not None
    assert (report.test.rows, report.overlap.rows) == (2, 1)


def test_without_a_label_column(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a line of text here\nand one more of it\n")
    report = check_dataset(path)
    assert report.data.label_column is None
    assert problems(report) == ["No column is clearly the label"]
    with pytest.raises(InputError, match="no column 'x'"):
        check_dataset(path, label="x")


def test_columns_that_could_be_the_label_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"a film of number {n},{n % 2},{n % 3 % 2}\n" for n in range(30))
    path.write_text(f"review,spam,rude\n{rows}")
    (finding,) = check_dataset(path).warnings
    assert finding.problem == "'spam' and 'rude' could both be the label"
    assert finding.advice == (
        "Name it with `--label COL`. If each is a label that a row can have: `--label spam,rude`. "
        "Without labels this is data for `--unlabeled`."
    )


def test_rows_without_a_label_are_counted_and_no_error(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", *GOOD, *BAD, ("who knows of this one", ""))
    report = check_dataset(path)
    assert report.data.unlabelled_rows == 1
    assert problems(report) == ["Rows without a label in column 'label': 1 of 21"]
    assert report.warnings[0].excerpts == ["who knows of this one"]


def test_stdin_has_no_excerpts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text\na b c\na b c\n")))
    report = check_dataset("-")
    assert report.data.duplicate_rows == 1
    assert report.warnings[0].rows == [2]
    assert report.warnings[0].excerpts == []


def test_a_pipe_has_no_excerpts(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with ThreadPoolExecutor() as pool:
        pool.submit((tmp_path / "a.csv").write_bytes, b"text\na b c\na b c\n")
        report = check_dataset(tmp_path / "a.csv")
    assert (report.warnings[0].rows, report.warnings[0].excerpts) == ([2], [])


def test_nothing_to_check(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match=r"a\.txt: has no rows: expected rows of text"):
        check_dataset(tmp_path / "a.txt")


def test_trec_by_the_numbers() -> None:
    report = check_dataset("name:trec6")
    assert report.test is not None
    assert report.overlap is not None
    assert (report.data.rows, report.test.rows) == (5452, 500)
    assert report.data.labels["ENTY"] == 1250
    assert report.data.words["total"] == 55_635
    assert report.data.duplicate_rows == 5452 - 5381
    assert report.overlap.rows == 11  # ten of them to the letter


def test_imdb_by_the_numbers(shared_data: Callable[[str], Path]) -> None:
    report = check_dataset(shared_data("imdb"))
    assert report.test is not None
    assert report.overlap is not None
    assert report.data.labels == {"neg": 12_500, "pos": 12_500}
    assert report.data.words["total"] == 5_844_680
    assert report.data.duplicate_rows == 25_000 - 24_904
    assert report.test.duplicate_rows == 25_000 - 24_801
    assert report.overlap.rows == 123
