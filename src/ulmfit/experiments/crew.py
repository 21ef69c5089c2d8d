"""Who does the tasks: this process, or several worker processes side by side."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Protocol

from ulmfit.errors import (
    Interrupted,
    SettingsError,
    StorageError,
    TrainingError,
    UlmfitError,
    is_out_of_memory,
)
from ulmfit.experiments.cells import Task
from ulmfit.runtime import StopRequest, cpu_count, stop_on_signal
from ulmfit.train.tracker import Display, Silent

if TYPE_CHECKING:
    from ulmfit.experiments.language_models import Site

MOST_JOBS = 8  # by default: each holds a model, its optimiser and its data
GO_ON = "Run the same command to go on."
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 120.0  # for workers to write their checkpoints
_NEWS_SECONDS = 60.0  # between two lines on what a worker does


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes:
        task: which.
        seconds: wall time.
        failure: what went wrong, None if nothing did.
    """

    task: Task
    seconds: float
    failure: str | None = None


class Crew(Protocol):
    """Does tasks."""

    def free(self) -> bool:
        """Whether another task can be taken."""

    def start(self, task: Task) -> None:
        """Take a task whose needs are done."""

    def wait(self) -> list[Outcome]:
        """At least one task that has ended."""

    def close(self) -> None:
        """Go home."""


def choose_jobs(jobs: int | None, threads: int, *, gpus: int = 0) -> int:
    """How many cells run side by side.

    Args:
        jobs: as asked for; None for as many as there is room for.
        threads: of each.
        gpus: usable ones; a cell takes one for itself.

    Raises:
        SettingsError: that would give the processors, or a GPU, to several at once.
    """
    room = gpus if gpus else cpu_count() // threads
    if room < 1 or (jobs is not None and jobs > room):
        have = f"{gpus} GPUs" if gpus else f"{cpu_count()} processors"
        asked = f"{jobs or 1} jobs" if gpus else f"{jobs or 1} jobs of {threads} threads"
        raise SettingsError(
            f"{asked} do not fit on {have}",
            expected=f"at most {room} jobs" if gpus else "jobs x threads within the processors",
            hint="More of them would only slow one another down.",
        )
    return jobs if jobs is not None else min(room, MOST_JOBS)


class Alone:
    """This process does one task after another, and shows its progress.

    Args:
        site: where.
        display: what a person sees.
    """

    def __init__(self, site: Site, display: Display) -> None:
        self.site, self.display = site, display
        self.ended: list[Outcome] = []

    def free(self) -> bool:
        """Until its outcome is taken, there is one."""
        return not self.ended

    def start(self, task: Task) -> None:
        """Do it."""
        self.ended.append(do(task, self.site, self.display))

    def wait(self) -> list[Outcome]:
        """The task that was done."""
        ended, self.ended = self.ended, []
        return ended

    def close(self) -> None:
        """Nothing to end."""


def do(task: Task, site: Site, display: Display) -> Outcome:
    """Run a task; what goes wrong with it is no reason not to do the others.

    Raises:
        Interrupted: the user stopped it.
        StorageError: the disk is full or closed: the others could not be written either.
    """
    from ulmfit.experiments.ablations import run_task

    started = time.monotonic()
    failure = None
    try:
        run_task(task, site, display)
    except Interrupted as error:
        raise Interrupted(error.problem, hint=GO_ON) from error
    except StorageError as error:
        raise StorageError(error.problem, hint=f"{error.hint or ''} {GO_ON}".lstrip()) from error
    except UlmfitError as error:
        failure = str(error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        failure = f"there is not enough memory ({error})"
    return Outcome(task, time.monotonic() - started, failure)


class Team:
    """Worker processes, each with one task at a time.

    Args:
        site: where.
        jobs: how many.
        threads: of each.
        display: what a person sees.
        gpus: whether each has a GPU of its own.
    """

    def __init__(
        self, site: Site, jobs: int, threads: int, display: Display, *, gpus: bool = False
    ) -> None:
        self.display = display
        context = multiprocessing.get_context("spawn")
        self.pipes: list[Connection] = []
        self.workers: list[Any] = []
        self.busy: dict[int, Task] = {}
        for number in range(jobs):
            ours, theirs = context.Pipe()
            gpu = number if gpus else None
            arguments = (theirs, site, threads, gpu, os.getpid())
            worker = context.Process(target=work, args=arguments, daemon=True)
            worker.start()
            theirs.close()
            self.pipes.append(ours)
            self.workers.append(worker)

    def free(self) -> bool:
        """Whether a worker has nothing to do."""
        return len(self.busy) < len(self.workers)

    def start(self, task: Task) -> None:
        """Hand it to a worker."""
        number = next(n for n in range(len(self.workers)) if n not in self.busy)
        self.busy[number] = task
        self.pipes[number].send(task)

    def wait(self) -> list[Outcome]:
        """Tasks that have ended.

        Raises:
            Interrupted: the user stopped the run; the workers have written checkpoints.
            StorageError: of a worker.
            TrainingError: a worker has been killed.
        """
        with stop_on_signal() as stop:
            while not stop:
                ready = wait([self.pipes[n] for n in self.busy], timeout=_POLL_SECONDS)
                heard = [self._receive(n) for n in list(self.busy) if self.pipes[n] in ready]
                ended = [outcome for outcome in heard if outcome is not None]
                if ended:
                    return ended
            return self._stop(stop)

    def close(self) -> None:
        """Let the workers go."""
        for pipe in self.pipes:
            pipe.close()
        for worker in self.workers:
            worker.join(timeout=_POLL_SECONDS)
            if worker.is_alive():
                worker.terminate()

    def _receive(self, number: int) -> Outcome | None:
        """How a worker's task ended; None if it only tells how far it is."""
        task = self.busy[number]
        try:
            message = self.pipes[number].recv()
        except EOFError:
            self.workers[number].join(timeout=_POLL_SECONDS)  # it has no exit code before
            code = self.workers[number].exitcode
            raise TrainingError(
                f"a worker process ended with exit code {code} in {task.plan.cell}",
                hint="It may have run out of memory; fewer --jobs need less.",
            ) from None
        if isinstance(message, StorageError):
            raise message
        if isinstance(message, str):
            doing = {"pretrain": "pretraining", "tune": "tuning the LM of", "train": "training"}
            told = f"{doing[task.kind]} {task.plan.cell}, {task.direction}: {message}"
            self.display.note(told)
            return None
        del self.busy[number]
        return Outcome(task, *message)

    def _stop(self, stop: StopRequest) -> list[Outcome]:
        """Ask each worker to write its checkpoint, and wait for that."""
        for number in self.busy:
            self.workers[number].terminate()
        end = time.monotonic() + _PATIENCE_SECONDS
        for number in self.busy:
            self.workers[number].join(timeout=max(0.0, end - time.monotonic()))
        stop.signal = None  # it is honoured here
        raise Interrupted("stopped", hint=GO_ON)


def work(pipe: Connection, site: Site, threads: int, gpu: int | None, parent: int) -> None:
    """A worker's life: take a task, do it, say how it went; until nobody asks any more."""
    # Ctrl-C reaches every process of a terminal; the parent decides, and says so by SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if gpu is not None:
        allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
        os.environ["CUDA_VISIBLE_DEVICES"] = allowed.split(",")[gpu] if allowed else str(gpu)
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)
    try:
        while True:
            outcome = do(pipe.recv(), site, WorkerDisplay(pipe, parent))
            pipe.send((outcome.seconds, outcome.failure))
    except StorageError as error:
        pipe.send(error)
    except (EOFError, BrokenPipeError, Interrupted):
        return


class WorkerDisplay(Silent):
    """Tells the parent now and then how far a task is; ends the process when nobody listens.

    Args:
        pipe: to the parent.
        parent: its process.
        seconds: between two messages.
    """

    def __init__(self, pipe: Connection, parent: int, seconds: float = _NEWS_SECONDS) -> None:
        self.pipe, self.parent, self.seconds = pipe, parent, seconds
        self.total, self.told = 0, time.monotonic()

    def begin(self, title: str, total_steps: int, done_steps: int) -> None:
        """A stage begins."""
        self.total = total_steps

    def advance(self, step: int, values: dict[str, float]) -> None:
        """A step is done; is anybody waiting for the next?"""
        if os.getppid() != self.parent:
            raise SystemExit(1)
        if time.monotonic() - self.told >= self.seconds:
            self.told = time.monotonic()
            self.pipe.send(f"step {step:,} of {self.total:,}")


def order_of(tasks: Sequence[Task]) -> list[Task]:
    """Each task once, where it stands first."""
    found: dict[tuple[str, str], Task] = {}
    for task in tasks:
        found.setdefault((task.kind, task.key), task)
    return list(found.values())
