from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import reviews, run, settings, write_csv
from ulmfit.cli.train_verbs import without_test_texts
from ulmfit.data.datasets import Dataset

MODEL_FILES = {"README.md", "config.json", "log.jsonl", "metrics.json"} | {
    *("model.safetensors", "ngrams.safetensors", "report.html", "tokenizer.json")
}


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def stages_in(model: Path) -> set[str]:
    lines = (model / "log.jsonl").read_text().splitlines()
    return {json.loads(line)["stage"] for line in lines}


def test_training_ends_with_a_model_its_error_and_what_to_do(
    data: Path, train_options: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "my model"
    done = run("train", data / "train.csv", "--out", out, *train_options)
    assert done.code == 0, done
    assert names_in(out) == MODEL_FILES
    head, *scores = done.out.split("\n\n")[0].splitlines()
    assert head == (
        f"Test error on 24 rows, held out of {data / 'train.csv'} with the labels in proportion "
        "(no --test given):"
    )
    assert [score.strip().split("  ")[0] for score in scores] == [
        "this model",
        "its language models alone",
        "its word counts alone",
        "TF-IDF + logistic regression",
    ]
    assert f"Model:  {out}\nReport: {out / 'report.html'}\n" in done.out
    html = (out / "report.html").read_text()
    assert "TF-IDF + logistic regression" in html and "Forward classifier" in html
    assert "its word counts alone" in html
    assert "training data: 96 rows, 2 classes" in done.err
    assert "forward language model" in done.err
    metrics = json.loads((out / "metrics.json").read_text())
    assert {"test_error", "test_error_interval", "baseline_error", "test_rows"} <= metrics.keys()
    assert metrics["members"].keys() == {"its language models alone", "its word counts alone"}
    assert stages_in(out) == {"forward/lm", "forward/classifier"}


def test_the_printed_command_works_as_printed(
    data: Path, train_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["ulmfit/__main__.py"])  # as if by `python -m ulmfit`
    options = ["--out", tmp_path / "a b", "--no-baseline", "-q"]
    done = run("train", data / "train.csv", *options, *train_options)
    assert done.err == ""
    (line,) = [line for line in done.out.splitlines() if " --text " in line]
    again = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines()[0] in ("pos", "neg")


def test_training_learns_and_answers_in_json(model: Path, data: Path) -> None:
    metrics = json.loads((model / "metrics.json").read_text())
    assert metrics["test_error"] < 0.2
    assert (model / "backward" / "model.safetensors").exists()


def test_one_document_on_stdout_and_progress_on_stderr(
    data: Path, train_options: list[str], tmp_path: Path
) -> None:
    options = ["--test", data / "test.csv", "--unlabeled", data / "more.txt", "--json"]
    done = run("train", data / "train.csv", *options, *train_options, "--out", tmp_path / "m")
    found = json.loads(done.out)
    assert found["model"] == str(tmp_path / "m")
    assert found["report"] == str(tmp_path / "m" / "report.html")
    assert found["classes"] == ["neg", "pos"]
    assert (found["train_rows"], found["test"]["rows"]) == (120, 40)
    assert 0 <= found["baseline"]["error"] <= 1
    assert "forward classifier" in done.err


def test_the_language_model_does_not_read_what_is_tested_on() -> None:
    test = Dataset(["a", "b"], ["x", "y"])
    found = without_test_texts(lambda: ["c", "b", "d", "c"], test)
    assert found is not None
    assert [*found()] == [*found()] == ["c", "d", "c"]
    assert without_test_texts(None, test) is None


def test_training_can_do_without_a_test_and_a_name(
    data: Path, train_options: list[str], working_folder: Path
) -> None:
    text = (data / "train.csv").read_text()
    options = ["--test-fraction", "0", "--limit", "30", "-q"]
    done = run("train", "-", *options, *train_options, stdin=text)
    assert done.code == 0, done
    assert "Not tested: --test-fraction 0 left nothing to test on." in done.out
    assert names_in(working_folder / "runs" / "stdin") == MODEL_FILES


def test_several_labels_per_row(train_options: list[str], tmp_path: Path) -> None:
    rows = [(text, f"film|{label}") for text, label in reviews(60)]
    path = write_csv(tmp_path / "a.csv", rows, ("text", "label"))
    out = tmp_path / "m"
    done = run("train", path, "--multi-label", "--out", out, "--json", "-q", *train_options)
    assert json.loads(done.out)["classes"] == ["film", "neg", "pos"]
    found = json.loads(run("evaluate", out, path, "--json", "-q").out)
    assert found["multi_label"] is True
    (entry,) = json.loads(run("predict", out, "--text", "a", "--json").out)["predictions"]
    assert isinstance(entry["labels"], list)


def test_held_out_rows_can_be_given(data: Path, train_options: list[str], tmp_path: Path) -> None:
    options = ["--valid", data / "test.csv", "--no-baseline", "-q", "--out", tmp_path / "m"]
    done = run("train", data / "train.csv", *options, *train_options)
    assert done.code == 0, done
    log = (tmp_path / "m" / "log.jsonl").read_text().splitlines()
    assert "valid_loss" in json.loads(log[-1])


def test_a_misspelt_file_is_told_before_torch_is_loaded() -> None:
    code = (
        "import sys; from ulmfit.cli.main import app; sys.argv = ['ulmfit', 'train', 'none.csv']\n"
        "try: app()\n"
        "finally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Error: none.csv: no such file or folder\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "papr"], "id you mean 'paper'?"),
        (["--set", "classifier.epoch=3"], "id you mean 'classifier.epochs'?"),
        (["--set", "classifier.epochs=0", "--set", "classifier.chunk=-1"], "2 settings are wrong"),
        (["--config", "none.toml"], "settings file 'none.toml' does not exist"),
        (["--lm", "en-smal"], "language model 'en-smal' is neither a name nor a folder"),
        (["--label", "lable"], "id you mean 'label'?"),
        (["--unlabeled", "none.txt"], "none.txt: no such file"),
        (["--test", "none.csv"], "none.csv: no such file"),
        (["--valid", "none.csv"], "none.csv: no such file"),
        (
            ["--set", "finetune_lm=none", "--set", "self_training=none", "--unlabeled", "a.txt"],
            "--unlabeled is for finetune_lm and self_training",
        ),
    ],
)
def test_bad_input_is_found_before_training(
    data: Path, working_folder: Path, options: list[str], message: str
) -> None:
    done = run("train", data / "train.csv", *options)
    assert done.code == 2, done
    assert message in done.err
    assert done.out == ""
    assert list(working_folder.iterdir()) == []


def test_a_folder_of_other_things_is_refused(
    data: Path, train_options: list[str], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = run("train", data / "train.csv", "--out", tmp_path, *train_options)
    assert done.code == 2
    assert "holds other files (thesis.txt)" in done.err
    assert names_in(tmp_path) == {"thesis.txt"}


def stop_after(command: list[str], sign: str) -> tuple[int, str]:
    """Press Ctrl-C once a line with `sign` is on standard error; returns exit code and lines."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if sign in line:
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            break
    _, rest = process.communicate(timeout=120)
    return process.returncode, seen + rest


def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not_been(
    data: Path, train_options: list[str], tmp_path: Path
) -> None:
    arguments = ["train", str(data / "train.csv"), *train_options, "--no-baseline"]
    # The last bits depend on the number of threads, which an earlier test may have set here.
    arguments += ["--threads", "1", *settings({"classifier.epochs": "60"})]
    command = [sys.executable, "-m", "ulmfit", *arguments, "--out", str(tmp_path / "a")]
    code, told = stop_after(command, "epoch 3/60")
    assert code == 130, told
    assert "Traceback" not in told
    assert told.endswith("\n  Run the same command with --resume to go on.\n")
    assert names_in(tmp_path / "a") == {"training"}
    resumed = run(*arguments, "--out", tmp_path / "a", "--resume")
    assert resumed.code == 0, resumed
    assert "resumed at step" in resumed.err
    straight = run(*arguments, "--out", tmp_path / "b", "-q")
    assert straight.code == 0, straight
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    made_by = [json.loads((tmp_path / name / "metrics.json").read_text())["run"] for name in "ab"]
    assert made_by[0] == made_by[1]


def test_a_finished_run_is_not_trained_again(
    data: Path, train_options: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "m"
    command = ["train", data / "train.csv", "--out", out, "--no-baseline", *train_options]
    assert run(*command, "-q", "--resume").code == 0  # nothing there to resume
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    done = run(*command, "--resume")
    assert (done.code, done.out) == (0, "")
    assert done.err.endswith(
        f"{out}: this run is finished already: there is nothing to do\n"
        "  Leave --resume out to train again.\n"
    )
    assert "Warning" not in done.err
    done = run(*command, "--resume", "--json", "-q")
    assert json.loads(done.out) == {"model": str(out), "finished": True}
    other = run(*command, "--resume", "--seed", "5")
    assert other.code == 2
    assert f"the model in '{out}' is finished, and of other data or settings" in other.err
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    (out / "model.safetensors").write_bytes(b"cut")
    again = run(*command, "--resume")
    assert again.code == 0, again
    assert "there is no stopped run in" in again.err
    assert (out / "model.safetensors").read_bytes() == before[out / "model.safetensors"]


def test_a_new_run_replaces_the_model_and_leaves_notes_alone(
    data: Path, train_options: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "m"
    options = ["--no-baseline", "-q", "--out", out, *train_options]
    assert run("train", data / "train.csv", *options).code == 0
    (out / "notes.txt").write_text("mine")
    (out / "report.html").write_text("of the old model")
    before = (out / "model.safetensors").read_bytes()
    again = run("train", data / "train.csv", "--seed", "5", "--no-report", *options)
    assert again.code == 0, again
    assert not (out / "report.html").exists()  # it is of the old model
    assert "Report" not in again.out
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "model.safetensors").read_bytes() != before


def test_stage_three_alone(data: Path, tiny_lm: Path, tmp_path: Path) -> None:
    changes = settings({"classifier.epochs": "2", "classifier.max_tokens": "none"})
    done = run(
        *("finetune-classifier", data / "train.csv", "--lm", tiny_lm, "--out", tmp_path / "m"),
        *("--direction", "backward", "--no-baseline", *changes),
    )
    assert done.code == 0, done
    assert "language model" not in done.err
    assert names_in(tmp_path / "m") == MODEL_FILES
    assert stages_in(tmp_path / "m") == {"backward/classifier"}


def test_stage_three_in_two_rounds(data: Path, tiny_lm: Path, tmp_path: Path) -> None:
    more, out = tmp_path / "more.txt", tmp_path / "m"
    more.write_text("".join(f"a film of the year {year}\n" for year in range(1990, 2020)))
    changes = settings({"classifier.epochs": "2", "classifier.max_tokens": "none"})
    options = [
        *("finetune-classifier", data / "train.csv", "--lm", tiny_lm, "--out", out),
        *("--direction", "forward", "--no-baseline", "--unlabeled", more, *changes),
    ]
    refused = run(*options)
    assert refused.code == 2, refused
    assert "Set self_training.documents for a second round" in refused.err
    assert not out.exists()
    done = run(*options, "--set", "self_training.documents=20")
    assert done.code == 0, done
    assert "a second round, with 20 of them" in done.err
    assert stages_in(out) == {"forward/classifier", "self-training/forward/classifier"}
    assert "Forward classifier, second round" in (out / "report.html").read_text("utf-8")
