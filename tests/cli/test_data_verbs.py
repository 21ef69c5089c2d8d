from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import run


def test_check_prints_tables_for_people_and_json_for_programs(data: Path) -> None:
    path = data / "train.csv"
    done = run("check", path, "--test", data / "test.csv")
    assert done.code == 0
    assert done.err == ""
    assert done.out.startswith(f"{path}: text in 'text', label in 'label', utf-8\n")
    report = json.loads(run("check", path, "--test", data / "test.csv", "--json").out)
    assert report["data"]["labels"] == {"neg": 60, "pos": 60}
    assert report["test"]["rows"] == 40
    assert report["overlap"]["rows"] == 0


def test_check_reads_standard_input() -> None:
    done = run("check", "-", "--json", stdin="text,label\ngood film,pos\nbad film,neg\n")
    assert json.loads(done.out)["data"]["rows"] == 2


def test_check_names_what_it_cannot_read(tmp_path: Path, data: Path) -> None:
    done = run("check", data / "trian.csv")
    assert done.code == 2
    assert done.out == ""
    assert done.err == (
        f"Error: {data / 'trian.csv'}: no such file or folder\n"
        f"  Did you mean {data / 'train.csv'}?\n"
    )
    assert run("check", data / "train.csv", "--label", "lable").err == (
        f"Error: {data / 'train.csv'}: no column 'lable' (given by --label)\n"
        "  Expected: one of 'text', 'label'\n"
        "  Did you mean 'label'?\n"
    )


def test_baseline_reaches_its_number_on_trec() -> None:
    done = run("baseline", "name:trec6", "--json")
    found = json.loads(done.out)
    assert done.err == ""
    assert found["model"] == "TF-IDF + logistic regression"
    assert found["train_rows"] == 5452
    assert found["test_rows_from"] == "the test split of name:trec6"
    assert (found["rows"], found["wrong"]) == (500, 54)


def test_baseline_for_people(data: Path) -> None:
    done = run("baseline", data / "train.csv", "--limit", "20")
    assert done.code == 0
    assert done.out.startswith(
        "TF-IDF + logistic regression, trained on 20 rows\ntested on 24 rows, held out of "
    )


def test_baseline_without_test_rows_is_refused(data: Path) -> None:
    done = run("baseline", data / "train.csv", "--test-fraction", "0")
    assert done.code == 2
    assert done.err == "Error: --test-fraction 0 leaves nothing to test the baseline on\n"


def test_one_class_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "a film,pos\n" * 5)
    done = run("baseline", path)
    assert done.code == 2
    assert "all 5 rows have the label 'pos'" in done.err
    assert "Expected: at least two classes" in done.err


def test_left_out_rows_are_told_as_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"good film {i},pos\nbad film {i},neg\n" for i in range(10))
    path.write_text(f"text,label\n{rows},pos\n")
    done = run("baseline", path)
    assert done.code == 0
    assert done.err.startswith(f"Warning: {path}: 1 of 21 rows have an empty or blank text")
    assert done.err.count("\n") == 1


def test_several_labels_per_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "a cat here,cat\na dog there,dog\ncat and dog,cat;dog\nnothing at all,\n" * 10
    path.write_text("text,label\n" + rows)
    found = json.loads(run("baseline", path, "--label-separator", ";", "--json").out)
    assert found["multi_label"] is True
    assert found["confusion"] is None
    assert {score["name"] for score in found["classes"]} == {"cat", "dog"}
    path.write_text(path.read_text().replace(";", "|"))
    counts = json.loads(run("check", path, "--multi-label", "--json").out)["data"]["labels"]
    assert counts == {"cat": 20, "dog": 20}
