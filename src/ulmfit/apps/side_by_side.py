"""Another process for the second direction, where two cores would share one direction badly.

A step on a dozen short texts is too small to be cut in two: two processes with half of the threads
each keep both cores busy. The child gets all it needs as files below the run's work folder, and
leaves its model there, as the one process would.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ulmfit import errors, ranks
from ulmfit.apps.run import TrainingRun
from ulmfit.errors import Interrupted, TrainingError, UlmfitError
from ulmfit.runtime import make_accelerator, stop_on_signal
from ulmfit.storage import atomic_write
from ulmfit.train.tracker import Display, Silent

# Fewer tokens are read, in all passes, before a second process has even imported torch.
WORTH_A_PROCESS = 200_000

# What a stopped child gets to write its checkpoint in, seconds.
PATIENCE = 60.0

FAULT = "fault.json"

_LOOK = 0.05  # seconds between two looks at a child that is waited for

# How a process ends that was told to: by the signal, or by itself, having saved what it could.
_STOPPED = (-signal.SIGTERM, -signal.SIGINT, Interrupted.exit_code)

_PR_SET_PDEATHSIG = 1


def worth_it(run: TrainingRun, n_directions: int, n_tokens: int) -> bool:
    """Whether to train the directions side by side: two of them, on a CPU of several cores.

    Not where several processes train together: all of them are at the same direction.

    Args:
        run: its device counts.
        n_directions: of the run.
        n_tokens: that each of them reads, in all passes.
    """
    return (
        n_directions == 2
        and ranks.size() == 1
        and run.accelerator.device.type == "cpu"
        and torch.get_num_threads() >= 2
        and n_tokens >= WORTH_A_PROCESS
    )


@contextmanager
def beside(run: TrainingRun, task: Path, main: str, what: str) -> Iterator[TrainingRun]:
    """Run `main(task)` in a process of its own while the block works with half of the threads.

    Args:
        run: of which both are parts.
        task: file that tells the child what to do; its folder gets the child's output.
        main: module to run.
        what: its name for people.

    Yields:
        The run for the block, whose progress looks after the child.

    Raises:
        UlmfitError: what stopped the child; the block is stopped too, at its next step.
    """
    child = _Child(task, main, what, _halves()[1])
    try:
        with half_of_the_threads():
            yield run.with_display(_Watching(run.display, child))
        run.display.note(f"waiting for the {what}")
        child.finish()
    finally:
        child.stop()


@contextmanager
def half_of_the_threads(*, the_child_s: bool = False) -> Iterator[None]:
    """Work with as many threads as one of two that are side by side.

    A resumed run whose other half was done has to: sums depend on the number of threads.

    Args:
        the_child_s: those of the half that was in the other process.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(_halves()[the_child_s])
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _halves() -> tuple[int, int]:
    """Threads of this process and of the child."""
    threads = torch.get_num_threads()
    return max(1, threads - threads // 2), max(1, threads // 2)


class _Child:
    def __init__(self, task: Path, main: str, what: str, threads: int) -> None:
        self.what, self.fault = what, task.parent / FAULT
        self.fault.unlink(missing_ok=True)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "RAYON_NUM_THREADS": str(threads),
            # What this process imports, the child does too: wherever it was told to look, and
            # nothing else, such as a `torch.py` in the folder where the user happens to be.
            "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),
            "PYTHONSAFEPATH": "1",
        }
        self.output = task.parent / "output.txt"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603 (our own module)
                [sys.executable, "-m", main, str(task), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the parent, which passes it on
            )

    def check(self) -> None:
        """Raise what ended the child before its time."""
        code = self.process.poll()
        if code:
            raise self._error(code)

    def finish(self) -> None:
        """Wait for its end; a signal to this process stops it first, so that it can save."""
        with stop_on_signal() as stop:
            while self.process.poll() is None:
                if stop:
                    self.stop()
                time.sleep(_LOOK)
        self.check()

    def stop(self) -> None:
        """End it if it still runs; it writes a checkpoint first, unless we are told twice."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except BaseException as error:  # a second Ctrl-C comes as one: nothing is waited for
                self.process.kill()
                self.process.wait()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise

    def _error(self, code: int) -> UlmfitError:
        if self.fault.exists():
            told = json.loads(self.fault.read_text(encoding="utf-8"))
            kind: type[UlmfitError] = getattr(errors, told["kind"])
            return kind(told["problem"], expected=told["expected"], hint=told["hint"])
        if code in _STOPPED:
            return Interrupted(
                f"the process of the {self.what} was told to stop", hint="--resume goes on."
            )
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        last = self.output.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        said = f" ({last[0]})" if last else ""
        return TrainingError(
            f"the process of the {self.what} {how}{said}",
            hint="It may have run out of memory. --resume goes on; --threads 1 trains the "
            "directions one after the other.",
        )


class _Watching:
    """A display that looks after the child at every step."""

    def __init__(self, display: Display, child: _Child) -> None:
        self.display, self.child = display, child

    def begin(self, title: str, total_steps: int, done_steps: int) -> None:
        self.display.begin(title, total_steps, done_steps)

    def advance(self, step: int, values: dict[str, float]) -> None:
        self.child.check()
        self.display.advance(step, values)

    def note(self, text: str) -> None:
        self.display.note(text)

    def end(self) -> None:
        self.display.end()


def write_task(task: Path, run: TrainingRun, what: Mapping[str, object]) -> None:
    """What a child is to do, and how the run goes."""
    precision = "bf16" if run.accelerator.mixed_precision == "bf16" else "float32"
    surroundings = {
        "work": str(run.work.resolve()),
        "precision": precision,
        "seed": run.seed,
        "resume": run.resume,
        "checkpoint_seconds": run.checkpoint_seconds,
    }
    atomic_write(task, json.dumps({**surroundings, **what}).encode())


@contextmanager
def child_run(arguments: Sequence[str]) -> Iterator[tuple[TrainingRun, dict[str, Any]]]:
    """The run in the child: `arguments` are the task's file and the parent's process.

    Yields:
        The run, and what `write_task` was given. An error of the block goes to the parent.
    """
    path, parent = Path(arguments[0]), int(arguments[1])
    _die_with(parent)
    told = json.loads(path.read_text(encoding="utf-8"))
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    run = TrainingRun(
        work=Path(told["work"]),
        accelerator=make_accelerator(told["precision"], cpu=True),
        display=Silent(),
        seed=told["seed"],
        resume=told["resume"],
        checkpoint_seconds=told["checkpoint_seconds"],
    )
    try:
        yield run, told
    except UlmfitError as error:
        fault = {
            "kind": type(error).__name__,
            "problem": error.problem,
            "expected": error.expected,
            "hint": error.hint,
        }
        atomic_write(path.parent / FAULT, json.dumps(fault).encode())
        raise SystemExit(error.exit_code) from error
    except KeyboardInterrupt as error:
        raise SystemExit(Interrupted.exit_code) from error


def _die_with(parent: int) -> None:
    """End when the parent is killed: nobody would take up what goes on being written."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(Interrupted.exit_code)
