from __future__ import annotations

import multiprocessing
import os
import re
import signal
from multiprocessing import Pipe
from pathlib import Path

import pytest
import torch

from tests.displays import Notes
from tests.experiments.conftest import last_task, plan_of
from ulmfit.errors import SettingsError, StorageError, TrainingError
from ulmfit.experiments import crew
from ulmfit.experiments.cells import Task
from ulmfit.experiments.crew import Alone, Team, WorkerDisplay, choose_jobs, order_of, work
from ulmfit.experiments.language_models import Site
from ulmfit.experiments.recipes import Scale, Variant
from ulmfit.train.tracker import Silent


def task_of(scale: Scale, method: str = "tfidf") -> Task:
    return last_task(plan_of(Variant.model_validate({"name": method, "method": method}), scale))


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "cpu_count", lambda: 4)


@pytest.mark.usefixtures("four")
def test_as_many_jobs_as_there_is_room_for() -> None:
    assert choose_jobs(None, 1) == 4
    assert choose_jobs(None, 2) == 2
    assert choose_jobs(3, 1) == 3
    assert choose_jobs(None, 1, gpus=2) == 2


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("jobs", "threads", "gpus", "message"),
    [
        (5, 1, 0, "5 jobs of 1 threads do not fit on 4 processors"),
        (2, 4, 0, "2 jobs of 4 threads do not fit on 4 processors"),
        (None, 5, 0, "1 jobs of 5 threads do not fit on 4 processors"),
        (2, 1, 1, "2 jobs do not fit on 1 GPUs: expected at most 1 jobs"),
    ],
)
def test_processors_are_not_given_out_twice(
    jobs: int | None, threads: int, gpus: int, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        choose_jobs(jobs, threads, gpus=gpus)


def test_alone_does_a_task_and_tells_how_it_went(scale: Scale, site: Site) -> None:
    alone = Alone(site, Silent())
    task = task_of(scale)
    assert alone.free()
    alone.start(task)
    assert not alone.free()
    (outcome,) = alone.wait()
    assert (outcome.task, outcome.failure) == (task, None)
    assert task.outcome(site.work).exists()
    alone.close()


def test_what_goes_wrong_is_an_outcome(scale: Scale, site: Site) -> None:
    alone = Alone(site, Silent())
    alone.start(task_of(scale, "sentence-embeddings"))
    (outcome,) = alone.wait()
    assert outcome.failure is None or "is not installed" in outcome.failure


def test_too_little_memory_for_one_task_is_its_outcome_and_a_bug_is_none(
    scale: Scale, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ulmfit.experiments import ablations

    def fail(error: BaseException) -> None:
        def run_task(*_: object) -> None:
            raise error

        monkeypatch.setattr(ablations, "run_task", run_task)

    alone = Alone(site, Silent())
    fail(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    alone.start(task_of(scale))
    (outcome,) = alone.wait()
    assert outcome.failure is not None
    assert outcome.failure.startswith("there is not enough memory (CUDA out of memory.")
    fail(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        alone.start(task_of(scale))


def test_a_full_disk_ends_the_run(
    scale: Scale, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next task would train for hours and end alike."""
    from ulmfit.experiments import ablations

    def run_task(*_: object) -> None:
        raise StorageError("cannot write 'model': no space left", hint="Free some space.")

    monkeypatch.setattr(ablations, "run_task", run_task)
    alone = Alone(site, Silent())
    told = "cannot write 'model': no space left. Free some space. Run the same command to go on."
    with pytest.raises(StorageError, match=re.escape(told)):
        alone.start(task_of(scale))
    team = Team(site, 0, 1, Silent())
    ours, theirs = multiprocessing.Pipe()
    team.pipes, team.workers = [ours], [None]
    team.start(task_of(scale))
    with monkeypatch.context() as patch:
        patch.setattr(signal, "signal", lambda *_: None)
        work(theirs, site, torch.get_num_threads(), None, os.getpid())
    with pytest.raises(StorageError, match=re.escape(told)):
        team.wait()


@pytest.mark.slow
def test_a_worker_that_was_killed_is_told_with_its_code(scale: Scale, site: Site) -> None:
    team = Team(site, 1, 1, Silent())
    try:
        team.busy[0] = task_of(scale)
        os.kill(team.workers[0].pid, signal.SIGKILL)
        with pytest.raises(TrainingError, match="ended with exit code -9 in own trec6 'tfidf'"):
            team.wait()
    finally:
        team.close()


def test_a_worker_keeps_to_the_gpus_that_the_user_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = Pipe()
    ours.close()
    site = Site(Path(), None, None, cpu=True)
    for allowed, seen in (("2,3", "3"), (None, "1")):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if allowed is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
        with monkeypatch.context() as patch:
            patch.setattr(signal, "signal", lambda *_: None)
            work(theirs, site, torch.get_num_threads(), 1, os.getpid())
        assert os.environ["CUDA_VISIBLE_DEVICES"] == seen


def test_shared_tasks_are_done_once(scale: Scale) -> None:
    task = task_of(scale)
    assert order_of([task, task_of(scale, "nb-svm"), task_of(scale)])[0] is task
    assert len(order_of([task, task_of(scale, "nb-svm"), task_of(scale)])) == 2


def test_a_worker_tells_how_far_it_is_and_stops_when_nobody_listens() -> None:
    ours, theirs = multiprocessing.Pipe()
    every, seldom = (WorkerDisplay(theirs, os.getppid(), seconds) for seconds in (0.0, 60.0))
    for display in (every, seldom):
        display.begin("tokens", 1200, 0)
        display.advance(1000, {})
    assert ours.recv() == "step 1,000 of 1,200"
    assert not ours.poll()
    with pytest.raises(SystemExit):
        WorkerDisplay(theirs, os.getpid()).advance(1, {})


def test_news_of_a_task_is_shown_and_does_not_end_it(scale: Scale, site: Site) -> None:
    notes = Notes()
    team = Team(site, 0, 1, notes)
    ours, theirs = multiprocessing.Pipe()
    team.pipes, team.workers = [ours], [None]
    task = task_of(scale)
    team.start(task)
    assert theirs.recv() == task
    for message in ("step 3 of 9", (1.5, None)):
        theirs.send(message)
    (outcome,) = team.wait()
    assert (outcome.task, outcome.seconds) == (task, 1.5)
    assert notes.lines == [f"training {task.plan.cell}, forward: step 3 of 9"]
    assert team.free()


@pytest.mark.slow
def test_a_team_works_side_by_side_and_goes_home(scale: Scale, site: Site) -> None:
    team = Team(site, 2, 1, Silent())
    tasks = [task_of(scale, name) for name in ("tfidf", "nb-svm")]
    try:
        for task in tasks:
            assert team.free()
            team.start(task)
        assert not team.free()
        ended: list[Task] = []
        while len(ended) < 2:
            ended += [outcome.task for outcome in team.wait() if outcome.failure is None]
    finally:
        team.close()
    assert all(task.outcome(site.work).exists() for task in tasks)
    for worker in team.workers:
        worker.join(timeout=20)
    assert not multiprocessing.active_children()
