"""Run cells: only what is not finished, shared work once, several at a time, and resumable."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ulmfit.errors import TrainingError
from ulmfit.experiments.cells import TRAINED, WORD_COUNTS, Plan, Task, digest, tasks_of
from ulmfit.experiments.crew import Crew, Outcome, order_of
from ulmfit.experiments.results import LMRecord, Result, add_results, read_results, require_place
from ulmfit.locks import only_run
from ulmfit.train.tracker import Display, clock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Name = tuple[str, str]


@dataclass(frozen=True)
class Origin:
    """What every result of a run says of where it comes from.

    Attributes:
        scale: name.
        lm: name of the pretrained language model, None if it is made on the spot.
        command: that was given.
        hardware: of one cell.
        commit: of the code, when it was started.
    """

    scale: str
    lm: str | None
    command: str
    hardware: str
    commit: str


@dataclass
class Board:
    """What is left to do.

    Attributes:
        tasks: not yet started, in order.
        plans: cells not yet finished.
        done: names of tasks whose outcome is on disk.
        failed: names of those that went wrong, with the reason.
        seconds: wall times of tasks of this run, by kind and method.
    """

    tasks: list[Task]
    plans: list[Plan]
    done: set[Name] = field(default_factory=set)
    failed: dict[Name, str] = field(default_factory=dict)
    seconds: dict[Name, list[float]] = field(default_factory=dict)

    def take(self) -> Task | None:
        """The first task that can be done now."""
        for task in self.tasks:
            if all(name_of(need) in self.done for need in task.needs):
                self.tasks.remove(task)
                return task
        return None

    def note(self, outcome: Outcome) -> None:
        """A task has ended; what needs a failed one will not be done."""
        name = name_of(outcome.task)
        if outcome.failure is None:
            self.done.add(name)
            self.seconds.setdefault(work_of(outcome.task), []).append(outcome.seconds)
            return
        self.failed[name] = outcome.failure
        # Until none is left: what needs a task may stand before it.
        while lost := [t for t in self.tasks if any(name_of(n) in self.failed for n in t.needs)]:
            self.failed |= {name_of(task): outcome.failure for task in lost}
            self.tasks = [task for task in self.tasks if task not in lost]

    def finished(self) -> list[Plan]:
        """Cells all of whose tasks are done; they leave the board."""
        ready = [plan for plan in self.plans if self._is_complete(plan)]
        self.plans = [plan for plan in self.plans if plan not in ready]
        return ready

    def _is_complete(self, plan: Plan) -> bool:
        trained = [task for task in tasks_of(plan) if task.kind == "train"]
        return all(name_of(task) in self.done for task in trained)

    def seconds_left(self, jobs: int) -> float | None:
        """By the means of what was done; None before anything was."""
        if not self.seconds:
            return None
        overall = statistics.fmean(s for found in self.seconds.values() for s in found)
        means = {work: statistics.fmean(found) for work, found in self.seconds.items()}
        return sum(means.get(work_of(task), overall) for task in self.tasks) / jobs


def name_of(task: Task) -> Name:
    """Kind and hash."""
    return task.kind, task.key


def work_of(task: Task) -> Name:
    """Tasks that take about as long as one another."""
    return task.kind, task.plan.variant.method


def run_cells(
    plans: Sequence[Plan],
    results: Path,
    work: Path,
    crew: Crew,
    origin: Origin,
    display: Display,
    *,
    jobs: int = 1,
) -> list[Result]:
    """Do what is not finished, and append a line to `results` for every cell as it is.

    Args:
        plans: cells wanted.
        results: file of JSON lines; what it holds already is not done again.
        work: folder for what is shared and what is under way.
        crew: does the tasks.
        origin: goes into every line.
        display: what a person sees.
        jobs: how many tasks the crew does at a time.

    Returns:
        Results of all cells wanted, old and new.

    Raises:
        SettingsError: another run is at work in the same folder.
        StorageError: the results or the work cannot be written; said before any work.
        TrainingError: some cells failed; all others are finished.
        Interrupted: the user stopped the run.
    """
    require_place(results)
    with only_run(work, "lock", option="--work"):
        board = make_board(plans, results, work, origin)
        finish(board, results, work, origin, display)
        running = 0
        while board.tasks or running:
            while crew.free() and (task := board.take()) is not None:
                crew.start(task)
                running += 1
            for outcome in crew.wait():
                running -= 1
                board.note(outcome)
                display.note(told(outcome, board, jobs))
            finish(board, results, work, origin, display)
    if board.failed:
        failed = [str(plan.cell) for plan in board.plans]
        raise TrainingError(
            f"{len(failed)} cells failed, the first is {failed[0]}: "
            f"{next(iter(board.failed.values()))}",
            hint="All others are finished and kept.",
        )
    wanted = {(plan.cell, plan.key()) for plan in plans}
    known = (result for result in read_results(results) if result.scale == origin.scale)
    return [result for result in known if (result.cell(), result.key) in wanted]


def make_board(plans: Sequence[Plan], results: Path, work: Path, origin: Origin) -> Board:
    """Leave out finished cells; give a cell the number of another one that is the same work."""
    known = [result for result in read_results(results) if result.scale == origin.scale]
    finished = {(result.cell(), result.key) for result in known}
    by_key = {result.key: result for result in known}
    keyed = [(plan, plan.key()) for plan in plans]
    left = [(plan, key) for plan, key in keyed if (plan.cell, key) not in finished]
    add_results(results, [by_key[key].moved(plan.cell) for plan, key in left if key in by_key])
    open_plans = [plan for plan, key in left if key not in by_key]
    tasks = order_of([task for plan in open_plans for task in tasks_of(plan)])
    # What takes seconds comes first: there is something to compare with early on.
    tasks.sort(key=lambda task: task.plan.variant.method in (*TRAINED, "hypercolumns"))
    done = {name_of(task) for task in tasks if task.outcome(work).exists()}
    left_tasks = [task for task in tasks if task.kind == "train" and name_of(task) not in done]
    return Board(_with_needs(left_tasks, tasks, done), open_plans, done)


def _with_needs(wanted: list[Task], tasks: list[Task], done: set[Name]) -> list[Task]:
    """Tasks and what they need, in the order of `tasks`."""
    names: set[Name] = set()
    left = list(wanted)
    while left:
        task = left.pop()
        if name_of(task) not in done:
            names.add(name_of(task))
            left += task.needs
    return [task for task in tasks if name_of(task) in names]


def finish(board: Board, results: Path, work: Path, origin: Origin, display: Display) -> None:
    """Write down the cells that are complete."""
    complete = [compose(plan, work, origin) for plan in board.finished()]
    add_results(results, complete)
    for result in complete:
        display.note(f"{result.cell()}: {result.metric} error {result.error:.2f} %")


def compose(plan: Plan, work: Path, origin: Origin) -> Result:
    """The number of a cell from what its members answered."""
    import numpy as np

    trained = [task for task in tasks_of(plan) if task.kind == "train"]
    members = [json.loads(task.outcome(work).read_text(encoding="utf-8")) for task in trained]
    truth = np.asarray(members[0]["truth"])
    answers = {
        name_of_member(task): np.asarray(member["probabilities"])
        for task, member in zip(trained, members, strict=True)
    }

    def wrong(answer: NDArray[np.floating]) -> int:
        return int((answer.argmax(axis=1) != truth).sum())

    missed, rows = wrong(together(answers)), len(truth)
    cell = plan.cell
    return Result(
        experiment=cell.experiment,
        dataset=cell.dataset,
        variant=cell.variant,
        labels=cell.labels,
        seed=cell.seed,
        scale=origin.scale,
        metric=plan.metric,
        error=round(100 * missed / rows, 4),
        wrong=missed,
        rows=rows,
        train_rows=plan.train_rows,
        members={name: round(100 * wrong(answer) / rows, 4) for name, answer in answers.items()},
        curve=members[0]["curve"],
        key=plan.key(),
        recipe=plan.recipe(),
        settings=digest(plan.settings.model_dump()),
        data=plan.data,
        lm=_lm_record(plan, origin),
        seconds=round(sum(member["seconds"] for member in members) + _lm_seconds(plan, work), 1),
        hardware=origin.hardware,
        command=origin.command,
        commit=origin.commit,
    )


def name_of_member(task: Task) -> str:
    """Its direction, or what it is where it is none of one direction."""
    method = task.plan.variant.method
    whole = task.kind == "train" and method in (WORD_COUNTS, "train")
    return method if whole else task.direction


def together(answers: Mapping[str, NDArray[np.floating]]) -> NDArray[np.floating]:
    """The members' answer: probabilities averaged, and the counts' evidence added, (N, C)."""
    import numpy as np

    from ulmfit.stages.fit_ngrams import DEFAULT_SHARE
    from ulmfit.stages.ngrams import added

    directions = [answer for name, answer in answers.items() if name != WORD_COUNTS]
    mean = np.mean(directions, axis=0)
    counted = answers.get(WORD_COUNTS)
    if counted is None:
        return np.asarray(mean)
    # The answers on disk are rounded to six digits.
    scores, others = (np.log(np.maximum(p, 1e-6)) for p in (mean, counted))
    return added(scores, others, DEFAULT_SHARE, multi_label=False)


def _lm_record(plan: Plan, origin: Origin) -> LMRecord | None:
    if origin.lm is None or not plan.lm or plan.variant.lm == "random":
        return None
    return LMRecord(name=origin.lm, sha256=dict(plan.lm))


def _lm_seconds(plan: Plan, work: Path) -> float:
    """Wall time of the language models behind a cell, whichever cell they were made for."""
    total = 0.0
    for task in tasks_of(plan):
        metrics = task.outcome(work) / "metrics.json"
        if task.kind != "train" and metrics.exists():
            total += json.loads(metrics.read_text(encoding="utf-8")).get("seconds", 0)
    return total


def told(outcome: Outcome, board: Board, jobs: int) -> str:
    """A line on a task that has ended, with what is left."""
    verb = {"pretrain": "pretrained", "tune": "tuned the LM of", "train": "trained"}
    task = outcome.task
    if outcome.failure is not None:
        return f"FAILED {task.plan.cell}: {outcome.failure}"
    left = board.seconds_left(jobs)
    rest = f", about {clock(left)}" if board.tasks and left is not None else ""
    return (
        f"{verb[task.kind]} {task.plan.cell}, {name_of_member(task)}, in {clock(outcome.seconds)}; "
        f"{len(board.tasks)} steps left{rest}"
    )
