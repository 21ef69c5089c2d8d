"""Where and how a run of several stages goes, and whether it may be resumed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ulmfit import ranks
from ulmfit.errors import AlreadyFinished, InputError, SettingsError, StorageError
from ulmfit.stages.lm_training import RunContext
from ulmfit.storage import atomic_write, refuse_foreign
from ulmfit.train.checkpoint import PROCESSES, refuse_other_number
from ulmfit.train.tracker import Display

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ulmfit.runtime import Precision

# Says whose run a work folder is of.
MARK = "run.json"

PRECISION = "precision"  # in it

# Says that a process is at work in it.
LOCK = "lock"

# In a model's metrics: which run has made it.
MADE_BY = "run"

# Of two runs that differ: changes that are told, and characters of a value.
_MOST_CHANGES, _LONGEST_VALUE = 4, 40

# Opens a stream of documents anew on each call.
Texts = Callable[[], Iterable[str]]


@dataclass(frozen=True)
class TrainingRun:
    """Where and how a run goes.

    Attributes:
        work: folder for checkpoints, corpora and logs of the stages.
        accelerator: device and precision.
        display: what a person sees.
        seed: of everything that is drawn.
        resume: go on with what is in `work`.
        checkpoint_seconds: least time between two checkpoints; 0 for one at every step.
        deadline: save and stop at this time of `time.monotonic`, None for never.
        finished: the run that made the model in place (`MADE_BY`), None where there is none or
            nobody knows.
    """

    work: Path
    accelerator: Accelerator
    display: Display
    seed: int = 0
    resume: bool = False
    checkpoint_seconds: float = 120.0
    deadline: float | None = None
    finished: str | None = None

    @classmethod
    def within(cls, context: RunContext, *parts: str) -> TrainingRun:
        """A run of several stages in the surroundings of one, in its folder or further below."""
        return cls(
            context.folder.joinpath(*parts),
            context.accelerator,
            context.display,
            context.seed,
            context.resume,
            context.checkpoint_seconds,
            context.deadline,
        )

    def context(self, *parts: str) -> RunContext:
        """The surroundings of one stage."""
        return RunContext(
            self.accelerator,
            self.work.joinpath(*parts),
            self.display,
            self.seed,
            self.resume,
            self.checkpoint_seconds,
            self.deadline,
        )

    def with_display(self, display: Display) -> TrainingRun:
        """The same run, shown otherwise."""
        return replace(self, display=display)

    def claim(self, identity: Mapping[str, object]) -> None:
        """Start the work folder afresh, or make sure that it is this run's.

        Of several processes the first one does it; the others make sure that theirs is the same.

        Args:
            identity: what this run must have in common with the one it resumes, as JSON values.

        Raises:
            AlreadyFinished: the run to resume has made its model.
            SettingsError: the run to resume was another one, or the folder holds other things.
            StorageError: the folder cannot be written to.
            InputError: processes that are to train together have other data or settings, or do not
                share the folder.
        """
        precision = self.accelerator.mixed_precision
        identity = {PRECISION: precision, **identity, "seed": self.seed, PROCESSES: ranks.size()}
        if self.resume and self.finished is not None and not _read_mark(self.work / MARK):
            self._refuse_finished(identity)

        def claimed() -> dict[str, object]:
            self._claim(identity)
            return identity

        theirs = ranks.first("the work folder", claimed, self.work / MARK)
        own = json.loads(json.dumps(identity))
        other = [key for key in own if ranks.rank() and theirs[key] != own[key]]
        if other:
            raise InputError(
                f"process {ranks.rank()} has other {' and '.join(other)} than the first one",
                expected="the same data and settings in all processes that train together",
            )

    def made_by(self) -> dict[str, str]:
        """For the metrics of the model, so that the claimed run is known to be finished."""
        return {MADE_BY: _digest(_read_mark(self.work / MARK))}

    def _refuse_finished(self, identity: Mapping[str, object]) -> None:
        again = "leave --resume out to train again."
        if self.finished == _digest(identity):
            raise AlreadyFinished(
                "this run is finished already: there is nothing to do", hint=again.capitalize()
            )
        raise SettingsError(
            f"the model in '{self.work.parent}' is finished, and of other data or settings",
            expected="those of the run to resume",
            hint=f"Choose another folder, or {again}",
        )

    def _claim(self, identity: Mapping[str, object]) -> None:
        refuse_foreign(self.work, _entries_of_run)
        before = _read_mark(self.work / MARK) if self.resume else {}
        if not before:
            self._start_afresh(identity)
            return
        refuse_other_number(before)
        now = json.loads(json.dumps(identity))
        keys = [key for key in {**now, **before} if key != PROCESSES]
        changed = [key for key in keys if before.get(key) != now.get(key)]
        if changed:
            told = " and ".join(f"{key}{_change(before.get(key), now.get(key))}" for key in changed)
            raise SettingsError(
                f"the run in '{self.work}' differs in {told}",
                hint="Give the same data, settings and --precision to resume it, or leave --resume "
                "out to start again.",
            )

    def _start_afresh(self, identity: Mapping[str, object]) -> None:
        """Empty the folder. Whenever it is stopped in between, there is nothing to resume in it."""
        atomic_write(self.work / MARK, b"{}")
        for entry in self.work.iterdir():
            if entry.name not in (MARK, LOCK):
                _remove(entry)
        atomic_write(self.work / MARK, json.dumps(identity).encode())


def _digest(identity: Mapping[str, object]) -> str:
    """SHA-256 of what makes a run another one, in hex; not how fast it was computed."""
    what = {k: v for k, v in identity.items() if k not in (PRECISION, PROCESSES)}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _change(before: object, now: object) -> str:
    """` (epochs: 5, now 3)`: what is short enough to be told."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        shown = [f"{key}{_change(before.get(key), now.get(key))}" for key in keys[:_MOST_CHANGES]]
        more = len(keys) - len(shown)
        return f" ({', '.join(shown)}{f' and {more} more' if more else ''})"
    if any(isinstance(value, list | dict) for value in (before, now)):
        return ""
    texts = [json.dumps(value) for value in (before, now)]
    return "" if max(map(len, texts)) > _LONGEST_VALUE else f": {texts[0]}, now {texts[1]}"


def precision_of(work: Path) -> Precision:
    """The precision of the run in a work folder, `auto` where there is none.

    The faster one is measured, and another load of the machine may measure another one.

    Raises:
        InputError: what says so cannot be read.
    """
    found = _read_mark(work / MARK).get(PRECISION)
    return "float32" if found == "no" else "bf16" if found == "bf16" else "auto"


def _entries_of_run(folder: Path) -> frozenset[str] | None:
    """What is in a work folder; None if it is no run's."""
    names = frozenset(entry.name for entry in folder.iterdir())
    drafts = all(name == LOCK or name.startswith(f".{MARK}.") for name in names)
    return names if MARK in names or drafts else None


def _remove(entry: Path) -> None:
    try:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    except OSError as error:
        raise StorageError(
            f"cannot remove '{entry}', which an earlier run left: {error}",
            hint="Delete it, or choose another folder.",
        ) from error


def unreadable(path: Path, why: str) -> InputError:
    """What a run left behind is damaged; of a long reason the first line."""
    first = why.splitlines()[0]
    return InputError(
        f"'{path}' cannot be read: {first}", hint="Leave --resume out to start again."
    )


def _read_mark(mark: Path) -> dict[str, object]:
    """The identity of the run in a folder, empty where there is none."""
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise unreadable(mark, str(error)) from error
    return found if isinstance(found, dict) else {}
