from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import run

OWN = """
order = 1
title = "Own"
section = "ours"
question = "Which is better?"
metric = "test"
datasets = ["trec6"]
reference = "tfidf"
[[variants]]
name = "tfidf"
method = "tfidf"
[[variants]]
name = "nb"
method = "nb-svm"
"""


@pytest.fixture
def own(working_folder: Path) -> Path:
    path = working_folder / "own.toml"
    path.write_text(OWN, "utf-8")
    return path


def test_the_list_names_everything_with_status_cost_and_section() -> None:
    done = run("reproduce", "--list")
    assert done.code == 0, done
    for words in ("table7", "section 5, table 7", "figure3", "bidirectionality", "baselines"):
        assert words in done.out
    shown = json.loads(run("reproduce", "--list", "--json", "--scale", "smoke").out)
    assert {"name", "section", "done", "cells", "seconds_left"} <= shown[0].keys()
    assert all(entry["cells"] for entry in shown), "every experiment runs at the smoke scale"


def test_an_own_experiment_is_run_printed_and_not_repeated(own: Path) -> None:
    options = ("--scale", "smoke", "--jobs", "1", "--device", "cpu")
    done = run("reproduce", own, *options, "--report", "report")
    assert done.code == 0, done
    assert "| tfidf (*ref*) | – |" in done.out
    assert "own trec6 'nb', seed 0: test error" in done.err
    lines = Path("runs/reproduce/smoke.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0])["command"] == "ulmfit reproduce own.toml --scale smoke"
    assert "## Scale smoke" in Path("report/results.md").read_text("utf-8")
    again = run("reproduce", own, *options, "--json")
    assert "test error" not in again.err
    assert [line["variant"] for line in json.loads(again.out)] == ["tfidf", "nb"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no experiment is named"),
        (["tabel4"], "no experiment is called 'tabel4'"),
        (["table4", "--jobs", "4096"], "4096 jobs of 1 threads do not fit on"),
        (["table4", "--lm", "en-smal"], "language model 'en-smal' is neither a name nor a folder"),
        (["table4", "--labels", "few"], "--labels 'few' is not a number"),
        (["table4", "--data-dir", "nowhere"], "nowhere"),
    ],
)
@pytest.mark.usefixtures("working_folder")
def test_faults_are_found_before_anything_is_run(arguments: list[str], message: str) -> None:
    done = run("reproduce", *arguments)
    assert done.code == 2, done
    assert message in done.err
    assert not Path("runs").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("working_folder")
def test_smoke_runs_everything_there_is() -> None:
    done = run("reproduce", "all", "--scale", "smoke", "--device", "cpu", "--json", "-q")
    assert done.code == 0, done
    shown = json.loads(run("reproduce", "--list", "--json", "--scale", "smoke").out)
    run_cells = {(line["experiment"]) for line in json.loads(done.out)}
    assert run_cells == {entry["name"] for entry in shown}
