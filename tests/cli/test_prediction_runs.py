from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Answer, reviews, run, write_csv
from ulmfit.apps.prediction_journal import journal_path

ROWS = 5_000  # 20 slices
NAMES = ("out.csv", "out.csv.gz", "out.jsonl", "out.parquet")

# Imports torch once, then runs `predict` in children and kills each when its journal has so many
# bytes: real processes, real kills. A line per run: target, bytes; answered by the exit code.
KILLER = """
import os, signal, sys, time
from pathlib import Path
import torch, ulmfit.apps.predictor, ulmfit.apps.predictions, ulmfit.data.streams
from ulmfit.apps.prediction_journal import journal_path
from ulmfit.cli.main import app

for line in sys.stdin:
    size, *command = line.rstrip("\\n").split("\\t")
    journal = journal_path(Path(command[command.index("-o") + 1]))
    child = os.fork()
    if not child:
        try:
            app(command, prog_name="ulmfit", standalone_mode=False)
        finally:
            os._exit(0)
    while not (journal.exists() and journal.stat().st_size >= int(size)):
        if os.waitpid(child, os.WNOHANG)[0]:
            break
        time.sleep(0.0005)
    else:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
        continue
    print("ended before it was killed", flush=True)
"""


@pytest.fixture(scope="module")
def killer() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", KILLER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        yield process


def killed(killer: subprocess.Popen[str], size: int, *command: object) -> None:
    assert killer.stdin is not None
    assert killer.stdout is not None
    print("\t".join(map(str, [size, *command])), file=killer.stdin, flush=True)
    assert killer.stdout.readline() == "-9\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [(text, str(number)) for number, (text, _) in enumerate(reviews(ROWS, seed=3))]
    return write_csv(tmp_path_factory.mktemp("rows") / "new.csv", rows, ("text", "id"))


@pytest.fixture(scope="module")
def undisturbed(model: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of runs that nobody stopped."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for name in NAMES:
        assert run("predict", model, source, "-o", folder / name, "-q").code == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    return folder


def resumed(model: Path, source: Path, target: Path, *options: object) -> Answer:
    return run("predict", model, source, "-o", target, "--resume", *options)


@pytest.mark.parametrize(
    "name",
    [
        "out.csv",
        "out.parquet",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("out.csv.gz", "out.jsonl")),
    ],
)
def test_killed_at_several_moments_and_resumed(
    model: Path,
    source: Path,
    undisturbed: Path,
    tmp_path: Path,
    killer: subprocess.Popen[str],
    name: str,
) -> None:
    target = tmp_path / name
    command = ["predict", model, source, "-o", target, "-q"]
    for size, options in ((1, []), (10_000, ["--resume"]), (25_000, ["--resume"])):
        killed(killer, size, *command, *options)
        assert not target.exists()
        assert journal_path(target).stat().st_size >= size
    done = resumed(model, source, target)
    assert done.code == 0, done
    assert "rows are answered already" in done.err
    assert target.read_bytes() == (undisturbed / name).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [name]  # drafts and journal are gone


@pytest.fixture
def stopped(model: Path, source: Path, tmp_path: Path, killer: subprocess.Popen[str]) -> Path:
    """The target of a run that was killed."""
    killed(killer, 9_000, "predict", model, source, "-o", tmp_path / "out.csv", "-q")
    return tmp_path / "out.csv"


def test_what_has_changed_is_named(
    model: Path, source: Path, stopped: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in model.rglob("*.*"):
        (other / path.relative_to(model)).parent.mkdir(exist_ok=True)
        (other / path.relative_to(model)).write_bytes(path.read_bytes())
    config = other / "config.json"
    config.write_text(config.read_text() + "\n")
    done = resumed(other, source, stopped)
    assert (done.code, done.out) == (2, "")
    assert "the SHA-256 of the model's config.json is" in done.err
    done = resumed(model, source, stopped, "--encoding", "cp1252")
    assert "a different one: --encoding is cp1252 now\n  Expected: not given, as before" in done.err
    done = resumed(model, source, stopped, "--min-confidence", "0.9")
    assert (
        "a different one: --min-confidence is 0.9 now\n  Expected: not given, as before" in done.err
    )
    done = resumed(model, source, stopped, "--text-column", "id")
    assert "the text column is id now\n  Expected: text, as before" in done.err
    assert "Run the same command as before, or leave --resume out to start over." in done.err
    assert not stopped.exists()


def test_an_input_that_has_changed_is_refused(
    model: Path, tmp_path: Path, killer: subprocess.Popen[str], source: Path
) -> None:
    own, target = tmp_path / "own.csv", tmp_path / "out.csv"
    own.write_bytes(source.read_bytes())
    killed(killer, 9_000, "predict", model, own, "-o", target, "-q")
    text = own.read_bytes()
    first = text.splitlines()[5]
    own.write_bytes(text.replace(first, first.swapcase(), 1))
    done = resumed(model, own, target)
    assert done.code == 2
    assert "the input is not the one of the stopped run: it differs after row 0" in done.err
    own.write_bytes(text + b"one more row,1\n")
    assert "the size of the input in bytes is" in resumed(model, own, target).err
    own.write_bytes(text)
    assert resumed(model, own, target).code == 0


def test_starting_over_is_said(model: Path, source: Path, stopped: Path, undisturbed: Path) -> None:
    done = run("predict", model, source, "-o", stopped)
    assert f"Warning: the stopped run that was writing {stopped} is started over" in done.err
    assert stopped.read_bytes() == (undisturbed / "out.csv").read_bytes()


def test_nothing_to_resume_is_said(model: Path, data: Path, tmp_path: Path) -> None:
    done = resumed(model, data / "test.csv", tmp_path / "out.csv")
    assert done.code == 0
    assert f"no stopped run was writing {tmp_path / 'out.csv'}: starting from the" in done.err


def test_resume_needs_a_file(model: Path, data: Path) -> None:
    for options in ([], ["-o", "-"]):
        done = run("predict", model, data / "test.csv", "--resume", *options)
        assert done.code == 2
        assert done.err.startswith("Error: --resume has no output file to go on with\n")


def test_a_broken_row_is_found_before_hours_of_work(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    lines = [json.dumps({"text": text}) for text, _ in reviews(3_000)]
    path.write_text("\n".join([*lines, "not JSON"]))
    done = run("predict", model, path, "-o", tmp_path / "out.csv")
    assert done.code == 2
    assert "line 3001" in done.err
    assert [entry.name for entry in tmp_path.iterdir()] == ["new.jsonl"]


def test_a_device_needs_no_journal(model: Path, data: Path) -> None:
    done = run("predict", model, data / "test.csv", "-o", os.devnull)
    assert done.code == 2  # a name without a type
    assert "its type is missing" in done.err


def test_an_output_with_too_long_a_name_is_told(model: Path, data: Path, tmp_path: Path) -> None:
    done = run("predict", model, data / "test.csv", "-o", tmp_path / f"{'x' * 300}.csv", "-q")
    assert done.code == 1
    assert done.err.startswith("Error: cannot write '")
    assert "': file name too long\n  Choose another name or place." in done.err
