from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import run, write_csv
from ulmfit.cli.main import app

GOOD = "film lovely actor story great wonderful scene"
BAD = "film awful actor story boring terrible scene"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Rows with a column of numbers, a column of notes, and a blank text."""
    lines = [("7", GOOD, "x,y"), ("8", f"{BAD}, {BAD}", ""), ("9", "", "z")]
    return write_csv(tmp_path / "new.csv", lines, ("id", "text", "note"))


def test_a_text_gets_its_label_and_the_probabilities(model: Path) -> None:
    done = run("predict", model, "--text", GOOD)
    assert done.code == 0, done
    label, first, second = done.out.splitlines()
    assert label == "pos"
    assert first.startswith("  pos  ")
    assert second.startswith("  neg  ")
    assert done.err == ""


def test_several_texts_are_told_apart(model: Path) -> None:
    done = run("predict", model, "--text", GOOD, "--text", "awful")
    first, second = done.out.rstrip().split("\n\n")
    assert first.startswith(f"{GOOD}\npos\n")
    assert second.startswith("awful\n")


def test_texts_as_one_document(model: Path) -> None:
    found = json.loads(run("predict", model, "--text", GOOD, "--json").out)
    assert found["labels"] == ["neg", "pos"]
    (entry,) = found["predictions"]
    assert (entry["text"], entry["label"]) == (GOOD, "pos")
    assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def test_rows_come_out_as_they_went_in(model: Path, rows: Path) -> None:
    done = run("predict", model, rows)
    assert done.code == 0, done
    table = list(csv.reader(io.StringIO(done.out)))
    assert table[0] == [
        *("id", "text", "note", "predicted_label", "probability_neg", "probability_pos")
    ]
    assert [row[:3] for row in table] == list(csv.reader(io.StringIO(rows.read_text())))
    assert [row[3] for row in table[1:3]] == ["pos", "neg"]


@pytest.mark.parametrize("name", ["out.csv", "out.tsv.gz", "out.jsonl", "out.parquet"])
def test_a_file_is_written_in_the_format_of_its_name(
    model: Path, rows: Path, tmp_path: Path, name: str
) -> None:
    done = run("predict", model, rows, "-o", tmp_path / name)
    assert done.code == 0, done
    assert done.out == ""
    assert done.err.startswith(f"wrote {tmp_path / name}: 3 rows (")
    assert (tmp_path / name).stat().st_size > 0
    if name.endswith(".parquet"):
        assert pq.read_table(tmp_path / name)["id"].to_pylist() == ["7", "8", "9"]


def test_csv_is_written_as_it_was_read(model: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "rows.csv", tmp_path / "out.csv"
    source.write_text("nr;text\n1;schöner Film\n2;a bad, bad film\n", encoding="utf-8-sig")
    run("predict", model, source, "-o", target)
    lines = target.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("\ufeffnr;text;predicted_label;")
    assert [line.rsplit(";", 3)[0] for line in lines[1:]] == ["1;schöner Film", "2;a bad, bad film"]
    run("predict", model, source, "-o", tmp_path / "out.tsv")
    header = (tmp_path / "out.tsv").read_text(encoding="utf-8").splitlines()[0]
    assert header.split("\t")[:2] == ["nr", "text"]


def test_a_file_without_rows_gives_one_without_rows(model: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes(b"text,label\n")
    done = run("predict", model, source, "-o", target, "--device", "cpu")
    assert done.code == 0, done
    assert done.err.endswith(f"wrote {target}: no rows, as there are none\n")
    assert target.read_text("utf-8").startswith("text,label,predicted_label,")
    assert len(target.read_text("utf-8").splitlines()) == 1


def test_a_written_file_is_summed_up_as_json(model: Path, rows: Path, tmp_path: Path) -> None:
    done = run("predict", model, rows, "-o", tmp_path / "a.csv", "--json", "-q")
    found = json.loads(done.out)
    assert (found["rows"], sum(found["predicted"].values())) == (3, 3)
    assert done.err == ""


def test_a_document_of_rows(model: Path, rows: Path) -> None:
    found = json.loads(run("predict", model, rows, "--json").out)
    assert [entry["row"] for entry in found["predictions"]] == [1, 2, 3]


def test_standard_input_goes_to_standard_output(model: Path) -> None:
    done = run("predict", model, "-", "-o", "-", "-q", stdin=f"{GOOD}\n{BAD}\n")
    assert [line.split(",")[1] for line in done.out.splitlines()] == [
        "predicted_label",
        "pos",
        "neg",
    ]


def test_class_numbers_without_a_header_are_read_alike_twice(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_text(f'"3","{GOOD}","lovely"\n"4","{BAD}","awful"\n')
    done = run("predict", model, path, "-o", tmp_path / "out.csv")
    assert done.code == 0, done


def test_the_text_column_is_named(model: Path, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [(BAD, GOOD)], ("text", "body"))
    done = run("predict", model, path, "--text-column", "body", "-q")
    assert done.out.splitlines()[1].split(",")[2] == "pos"
    done = run("predict", model, path, "--text-column", "bdy")
    assert done.code == 2
    assert "no column 'bdy' (given by --text-column)" in done.err
    assert "Did you mean 'body'?" in done.err


def test_an_unclear_text_column_is_named_with_the_right_option(model: Path, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [("one two", "three four")], ("first", "second"))
    done = run("predict", model, path)
    assert done.code == 2
    assert "--text-column first" in done.err or "--text-column COL" in done.err
    assert "--text " not in done.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "nothing to label"),
        (["a.csv", "--text", "b"], "both FILE (a.csv) and --text ('b') are given"),
        (["--text", "b", "--text-column", "c"], "--text-column goes with FILE, not with --text"),
        (["--text", "b", "-o", "c.csv"], "--output goes with FILE, not with --text"),
    ],
)
def test_what_does_not_go_together(model: Path, arguments: list[str], problem: str) -> None:
    done = run("predict", model, *arguments)
    assert done.code == 2
    assert done.err.startswith(f"Error: {problem}\n")
    assert done.out == ""


def test_an_output_of_unknown_kind_is_refused(model: Path, rows: Path, tmp_path: Path) -> None:
    done = run("predict", model, rows, "-o", tmp_path / "out.xlsx")
    assert done.code == 2
    assert "its type is .xlsx" in done.err
    assert list(tmp_path.iterdir()) == [rows]


def test_a_broken_model_is_named(model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in model.glob("*.*"):
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "tokenizer.json").unlink()
    done = run("predict", broken, "--text", "a")
    assert done.code == 2
    assert "tokenizer.json is missing" in done.err
    assert run("predict", tmp_path / "none", "--text", "a").code == 2


def test_a_terminal_shows_a_line_per_text(
    model: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, follower = pty.openpty()  # a real terminal: what is printed depends on it
    with os.fdopen(leader, "rb", buffering=0) as screen, os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        app(["predict", str(model), str(rows)], standalone_mode=False)
        monkeypatch.undo()
        terminal.flush()
        text = ""
        while text.count("\n") < 3:
            text += screen.read(10_000).decode()
    shown = text.splitlines()
    assert [line.split()[0] for line in shown[:2]] == ["pos", "neg"]
    assert shown[0].endswith(GOOD)


def test_a_reader_that_has_seen_enough_is_no_error(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text("a lovely film\n" * 20_000)
    command = [sys.executable, "-m", "ulmfit", "predict", str(model), str(path), "-q"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("text,predicted_label")
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as errors:
        assert errors.read() == ""
    assert process.wait(60) == 1


def test_evaluate_tells_error_scores_and_confusions(model: Path, data: Path) -> None:
    done = run("evaluate", model, data / "test.csv")
    assert done.code == 0, done
    assert done.out.startswith(f"{model} on 40 rows of {data / 'test.csv'}\n\nerror ")
    assert "95 % interval" in done.out
    assert "true \\ predicted  neg  pos\n" in done.out


def test_evaluate_as_json(model: Path, data: Path) -> None:
    found = json.loads(run("evaluate", model, data / "test.csv", "--json", "-q").out)
    assert found["rows"] == 40
    assert found["error"] == pytest.approx(found["wrong"] / 40)
    assert sum(map(sum, found["confusion"])) == 40
    assert [score["name"] for score in found["classes"]] == ["neg", "pos"]


def test_evaluate_names_labels_the_model_does_not_know(model: Path, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [("a film", "pos"), ("so so", "mid")], ("text", "label"))
    done = run("evaluate", model, path)
    assert done.code == 2
    assert done.err.startswith(f"Error: {path}: the label 'mid' (1 row) is unknown to the model\n")
    assert "Expected: its classes 'neg', 'pos'" in done.err


def test_evaluate_takes_no_several_labels_for_a_model_of_one(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a film", "label": ["pos", "neg"]}\n')
    done = run("evaluate", model, path)
    assert done.code == 2
    assert "has several labels per row" in done.err


def test_answers_that_are_not_sure_enough_are_left_out(
    model: Path, rows: Path, tmp_path: Path
) -> None:
    done = run("predict", model, rows, "--min-confidence", "1", "-o", tmp_path / "a.csv")
    assert done.code == 0, done
    assert "(abstained)" in done.err
    table = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert {row["abstained"] for row in table} >= {"True"}
    assert all((row["predicted_label"] == "") is (row["abstained"] == "True") for row in table)
    assert all(0 <= float(row["probability_pos"]) <= 1 for row in table)

    done = run("predict", model, rows, "--min-confidence", "0", "-o", tmp_path / "a.parquet")
    assert done.code == 0, done
    found = pq.read_table(tmp_path / "a.parquet")
    assert found["abstained"].to_pylist() == [False] * 3
    assert found["predicted_label"].null_count == 0

    unsure = ["predict", model, "--text", "film", "--min-confidence", "1"]
    assert run(*unsure).out.startswith("(abstained)\n")
    entry = json.loads(run(*unsure, "--json").out)
    assert entry["predictions"][0]["label"] is None
    assert entry["predictions"][0]["abstained"] is True
    refused = run("predict", model, rows, "--min-confidence", "90")
    assert refused.code == 2


def test_evaluate_tells_how_far_probabilities_can_be_relied_on(model: Path, data: Path) -> None:
    shown = run("evaluate", model, data / "test.csv").out
    assert "calibration error (ECE)" in shown
    assert "--min-confidence  answered" in shown
    found = json.loads(run("evaluate", model, data / "test.csv", "--json", "-q").out)
    assert len(found["reliability"]["bins"]) == 15
    assert found["coverage"][0]["rows"] == found["rows"]


def test_a_text_in_the_place_of_the_file_is_told(model: Path) -> None:
    done = run("predict", model, f"{GOOD} " * 6)
    assert done.code == 2
    assert "cannot be read (File name too long)" in done.err
    assert "A text to label is given with `--text`, not in the place of FILE." in done.err


def test_a_document_and_csv_cannot_both_be_printed(model: Path, rows: Path) -> None:
    done = run("predict", model, rows, "-o", "-", "--json")
    assert (done.code, done.out) == (2, "")
    assert "-o - prints CSV, and --json a document" in done.err


def test_a_broken_row_leaves_no_half_document(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_bytes(b"text\n" + f"{GOOD}\n".encode() * 60_000 + b"caf\xe9\n")
    done = run("predict", model, path, "--json", "-q")
    assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize("verb", ["predict", "explain"])
def test_bytes_that_are_no_characters_are_labelled(model: Path, verb: str) -> None:
    done = run(verb, model, "--json", "--text", f"{GOOD} caf\udce9")
    assert done.code == 0, done
    assert "\ufffd" in done.out
    json.loads(done.out)
