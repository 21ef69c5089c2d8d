"""Where and how a run of several stages goes, and whether it may be resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ulmfit.errors import SettingsError
from ulmfit.stages.lm_training import RunContext
from ulmfit.storage import atomic_write
from ulmfit.train.tracker import Display

if TYPE_CHECKING:
    from accelerate import Accelerator

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
    """

    work: Path
    accelerator: Accelerator
    display: Display
    seed: int = 0
    resume: bool = False

    def context(self, *parts: str) -> RunContext:
        """The surroundings of one stage."""
        return RunContext(
            self.accelerator, self.work.joinpath(*parts), self.display, self.seed, self.resume
        )

    def claim(self, identity: Mapping[str, object]) -> None:
        """Start the work folder afresh, or make sure that it is this run's.

        Args:
            identity: what this run must have in common with the one it resumes, as JSON values.

        Raises:
            SettingsError: the run to resume was another one.
        """
        identity = {**identity, "seed": self.seed}
        mark = self.work / "run.json"
        if not self.resume or not mark.exists():
            shutil.rmtree(self.work, ignore_errors=True)
            self.work.mkdir(parents=True)
            atomic_write(mark, json.dumps(identity).encode())
            return
        before = json.loads(mark.read_text(encoding="utf-8"))
        now = json.loads(json.dumps(identity))
        changed = [key for key in now if before.get(key) != now[key]]
        if changed:
            raise SettingsError(
                f"the run in '{self.work}' was of other {' and '.join(changed)}",
                hint="Give the same data and settings to resume it, or leave --resume out to start "
                "again.",
            )
