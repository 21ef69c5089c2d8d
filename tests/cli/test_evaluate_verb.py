from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import run


def test_evaluate_writes_a_report_on_request(model: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "a b" / "report.html"
    out.parent.mkdir()
    done = run("evaluate", model, data / "test.csv", "--report", out, "-q")
    assert done.code == 0, done
    assert done.out.endswith(f"Report: {out}\n")
    html = out.read_text()
    assert html.startswith("<!DOCTYPE html>")
    assert "Learning curves" in html and "Backward classifier" in html
    assert "TF-IDF" not in html and "overlap" not in html  # that takes the training rows


def test_with_the_training_rows_it_compares(model: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    options = ["--train", data / "train.csv", "--report", out, "--json", "-q"]
    found = json.loads(run("evaluate", model, data / "test.csv", *options).out)
    assert found["report"] == str(out)
    html = out.read_text()
    assert "TF-IDF + logistic regression" in html
    assert "Train and test overlap" in html


def test_training_rows_without_a_report_are_a_mistake(model: Path, data: Path) -> None:
    done = run("evaluate", model, data / "test.csv", "--train", data / "train.csv")
    assert done.code == 2
    assert "--train is only used for the report" in done.err


def test_training_rows_must_have_the_labels_of_the_model(
    model: Path, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("text,label\nfilm,good\nactor,bad\n")
    options = ["--train", tmp_path / "a.csv", "--report", tmp_path / "r.html", "-q"]
    done = run("evaluate", model, data / "test.csv", *options)
    assert done.code == 2
    assert "2 labels, 'bad' (1 row), 'good' (1 row), are unknown to the model" in done.err
    assert not (tmp_path / "r.html").exists()


def test_a_report_that_cannot_be_written_is_told(model: Path, data: Path, tmp_path: Path) -> None:
    done = run("evaluate", model, data / "test.csv", "--report", tmp_path, "-q")
    assert done.code == 2
    assert f"'{tmp_path}' is a folder" in done.err


def test_rows_that_the_model_has_learnt_are_pointed_out(model: Path, data: Path) -> None:
    done = run("evaluate", model, data / "train.csv")
    assert done.code == 0, done
    assert "rows of a file 'train.csv': on rows that it has learnt it looks better" in done.err
    assert "has learnt" not in run("evaluate", model, data / "test.csv").err
