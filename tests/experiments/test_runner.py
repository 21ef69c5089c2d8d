from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.displays import Notes
from tests.experiments.conftest import experiment, plans_of
from ulmfit import experiments
from ulmfit.errors import Interrupted, SettingsError, StorageError, TrainingError
from ulmfit.experiments import crew
from ulmfit.experiments.cells import Plan, Task
from ulmfit.experiments.crew import Alone
from ulmfit.experiments.language_models import Site
from ulmfit.experiments.recipes import Scale, Variant
from ulmfit.experiments.results import Result, read_results
from ulmfit.experiments.runner import (
    Board,
    Origin,
    make_board,
    run_cells,
    together,
)
from ulmfit.locks import only_run
from ulmfit.train.tracker import Silent

TFIDF, NB_SVM = (Variant.model_validate({"name": n, "method": n}) for n in ("tfidf", "nb-svm"))
BOTH = Variant(name="both", directions=("forward", "backward"))
FORWARD, BACKWARD = Variant(name="forward"), Variant(name="backward", directions=("backward",))

ORIGIN = Origin("smoke", None, "ulmfit reproduce own", "a processor", "abc")


class Idle(Alone):
    """Does nothing: a task that comes here was not needed."""

    def start(self, task: Task) -> None:
        raise AssertionError(f"{task.kind} is done again for {task.plan.cell}")


def run(
    plans: list[Plan], site: Site, display: Notes | None = None, *, idle: bool = False
) -> list[Result]:
    shown = display if display is not None else Notes()
    hands = Idle(site, shown) if idle else Alone(site, shown)
    return run_cells(plans, site.work.parent / "r.jsonl", site.work, hands, ORIGIN, shown)


def test_cells_become_lines_and_finished_ones_are_not_run_again(scale: Scale, site: Site) -> None:
    plans = plans_of([experiment(FORWARD, BACKWARD, BOTH)], scale)
    display = Notes()
    found = {result.variant: result for result in run(plans, site, display)}
    assert sorted(found) == ["backward", "both", "forward"]
    assert found["both"].members == {
        "forward": found["forward"].error,
        "backward": found["backward"].error,
    }
    assert found["both"].rows == 8
    assert [record["epoch"] for record in found["forward"].curve] == [1, 2, 3]
    assert (found["both"].scale, found["both"].train_rows) == ("smoke", 72)
    said = [line for line in display.lines if line.startswith(("pretrained", "tuned", "trained"))]
    assert len(said) == 6, "what `both` needs is what the others have"
    assert any("steps left, about" in line for line in said)
    assert len(run(plans, site, idle=True)) == 3
    assert len(read_results(site.work.parent / "r.jsonl")) == 3


def test_word_counts_join_the_members_of_another_row(scale: Scale, site: Site) -> None:
    counted = BOTH.model_copy(update={"name": "counted", "word_counts": True})
    plain, with_counts = run(plans_of([experiment(BOTH, counted)], scale), site)
    assert {*with_counts.members} == {*plain.members, "word-counts"}
    assert plain.members.items() < with_counts.members.items()
    assert len(list((site.work / "train").iterdir())) == 3, "the directions are trained once"


def test_the_evidence_of_the_counts_is_added() -> None:
    directions = {"forward": np.array([[0.6, 0.4]]), "backward": np.array([[0.8, 0.2]])}
    assert together(directions) == pytest.approx(np.array([[0.7, 0.3]]))
    sure = together({**directions, "word-counts": np.array([[0.0, 1.0]])})
    assert sure.argmax() == 1 and np.isfinite(sure).all()
    odds = together({**directions, "word-counts": np.array([[0.2, 0.8]])})
    assert odds[0, 0] - odds[0, 1] == pytest.approx(math.log(7 / 3) - 0.5 * math.log(4))


def test_another_experiment_takes_the_number_over(scale: Scale, site: Site) -> None:
    (first,) = run(plans_of([experiment(TFIDF, name="one")], scale), site)
    (second,) = run(plans_of([experiment(TFIDF, name="two")], scale), site, idle=True)
    assert (second.experiment, second.error, second.key) == ("two", first.error, first.key)
    assert len(read_results(site.work.parent / "r.jsonl")) == 2


def test_a_lost_line_is_composed_from_what_is_on_disk(scale: Scale, site: Site) -> None:
    plans = plans_of([experiment(TFIDF)], scale)
    (first,) = run(plans, site)
    (site.work.parent / "r.jsonl").unlink()
    assert run(plans, site, idle=True) == [first]


def test_a_failed_cell_does_not_stop_the_others(
    scale: Scale, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(task: Task, site: Site, display: Silent) -> None:
        if task.plan.variant.method == "tfidf":
            raise TrainingError("loss is nan at step 3")
        real(task, site, display)

    from ulmfit.experiments import ablations

    real = ablations.run_task
    monkeypatch.setattr(ablations, "run_task", failing)
    display = Notes()
    with pytest.raises(
        TrainingError, match="1 cells failed, the first is own trec6 'tfidf', seed 0"
    ):
        run(plans_of([experiment(TFIDF, NB_SVM)], scale), site, display)
    (kept,) = read_results(site.work.parent / "r.jsonl")
    assert kept.variant == "nb-svm"
    assert "FAILED own trec6 'tfidf', seed 0: loss is nan at step 3." in display.lines


def test_what_needs_a_failed_task_is_not_waited_for(scale: Scale) -> None:
    (plan,) = plans_of([experiment(FORWARD)], scale)
    from ulmfit.experiments.cells import tasks_of

    board = Board(tasks_of(plan), [plan])
    first = board.take()
    assert first is not None and first.kind == "pretrain"
    assert board.take() is None, "the others need it"
    board.note(crew.Outcome(first, 1.0, "no disk"))
    assert (board.tasks, board.finished()) == ([], [])
    assert len(board.failed) == 3


def test_what_needs_a_failed_task_is_given_up_wherever_it_stands(scale: Scale) -> None:
    """Word counts need the fine-tuned language model and stand before it."""
    counting = FORWARD.model_copy(update={"word_counts": True})
    (plan,) = plans_of([experiment(counting)], scale)
    from ulmfit.experiments.cells import tasks_of

    tasks = tasks_of(plan)
    board = Board(sorted(tasks, key=lambda task: task.kind != "train"), [plan])
    first = board.take()
    assert first is not None and first.kind == "pretrain"
    board.note(crew.Outcome(first, 1.0, "no disk"))
    assert board.tasks == []
    assert len(board.failed) == len(tasks) == 4


class Stop(Notes):
    """Asks for a stop in the middle of a classifier, as Ctrl-C would."""

    def begin(self, title: str, total_steps: int, done_steps: int) -> None:
        self.unit = title

    def advance(self, step: int, values: dict[str, float]) -> None:
        if self.unit == "documents" and step == 4:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_stopped_run_goes_on_where_it_was(scale: Scale, site: Site) -> None:
    plans = plans_of([experiment(FORWARD)], scale)
    with pytest.raises(Interrupted, match=r"stopped at step 4\. Run the same command to go on\."):
        run(plans, site, Stop())
    assert not (site.work.parent / "r.jsonl").exists()
    display = Notes()
    (result,) = run(plans, site, display)
    assert "resumed at step 4" in display.lines
    assert not any(line.startswith("tuned") for line in display.lines), "that was finished"
    other = Site(site.work.parent / "other" / "work", cpu=True)
    (whole,) = run(plans, other)
    assert result.curve == whole.curve
    assert result.error == whole.error


def test_what_takes_seconds_comes_first(scale: Scale, tmp_path: Path) -> None:
    plans = plans_of([experiment(FORWARD, TFIDF, BACKWARD)], scale)
    board = make_board(plans, tmp_path / "r.jsonl", tmp_path / "work", ORIGIN)
    kinds = [(task.plan.variant.name, task.kind) for task in board.tasks]
    assert kinds[:3] == [("tfidf", "train"), ("forward", "pretrain"), ("forward", "tune")]
    assert len(kinds) == 7


def test_results_that_cannot_be_written_are_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    results, work = tmp_path / "file" / "results.jsonl", tmp_path / "work"
    with pytest.raises(StorageError, match=r"cannot write .*file/results\.jsonl"):
        run_cells(
            [], results, work, Alone(Site(work, None, None, cpu=True), Silent()), ORIGIN, Silent()
        )
    assert not work.exists()


def test_two_runs_do_not_share_a_work_folder(tmp_path: Path) -> None:
    work = tmp_path / "work"
    crew = Alone(Site(work, None, None, cpu=True), Silent())
    with only_run(work, "lock"), pytest.raises(SettingsError) as caught:
        run_cells([], tmp_path / "results.jsonl", work, crew, ORIGIN, Silent())
    assert "is at work in" in str(caught.value)
    assert "or choose another folder with --work." in str(caught.value)
    run_cells([], tmp_path / "results.jsonl", work, crew, ORIGIN, Silent())


OWN = """
order = 1
title = "own"
section = "ours"
question = "q"
metric = "validation"
datasets = ["trec6"]
reference = "ULMFiT"
[[variants]]
name = "tfidf"
method = "tfidf"
[[variants]]
name = "full"
set = { "classifier.unfreezing" = "full" }
[[variants]]
name = "ULMFiT"
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    """SIGKILL in the middle: nothing that was finished is repeated, and nothing differs."""
    (tmp_path / "own.toml").write_text(OWN, "utf-8")

    def start(name: str, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ulmfit", "reproduce", "own.toml", "--scale", "smoke"]
        places = ["--results", f"{name}.jsonl", "--work", name, "--json", *more]
        source = Path(experiments.__file__).parents[2]
        return subprocess.Popen(
            [*command, *places],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(source)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    killed = start("killed", "--jobs", "1")
    assert killed.stderr is not None
    for line in killed.stderr:
        if line.startswith("tuned the LM"):
            break
    killed.kill()
    killed.communicate()
    tuned = list((tmp_path / "killed" / "tune").glob("*/model/model.safetensors"))
    assert len(tuned) == 1
    before = tuned[0].stat().st_mtime_ns
    time.sleep(0.1)
    outputs = []
    for name in ("killed", "whole"):
        out, err = start(name, "--jobs", "1").communicate()
        outputs.append([(r["variant"], r["error"], r["curve"]) for r in json.loads(out)])
        assert "tuned the LM" in err or name == "killed"
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == 3
    assert tuned[0].stat().st_mtime_ns == before
