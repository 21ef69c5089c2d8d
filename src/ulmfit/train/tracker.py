"""What a run tells: records in `log.jsonl`, progress on standard error."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Protocol

from ulmfit import ranks
from ulmfit.errors import StorageError


class Display(Protocol):
    """Shows progress to a person."""

    def begin(self, title: str, total_steps: int, done_steps: int) -> None:
        """A stretch of `total_steps` steps begins, `done_steps` of them done before."""

    def advance(self, step: int, values: dict[str, float]) -> None:
        """A step is done; values such as loss, perplexity, lr, tokens/s."""

    def note(self, text: str) -> None:
        """One line to keep."""

    def end(self) -> None:
        """The stretch is over."""


class Silent:
    """Shows nothing."""

    def begin(self, title: str, total_steps: int, done_steps: int) -> None:
        """Nothing."""

    def advance(self, step: int, values: dict[str, float]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


class Tracker:
    """Writes `log.jsonl` and drives a display; of several processes, the first one writes.

    Args:
        log_path: file of records, None for none.
        display: what a person sees.
    """

    def __init__(self, log_path: Path | None = None, display: Display | None = None) -> None:
        self.log_path = log_path if ranks.rank() == 0 else None
        self.display: Display = display if display is not None else Silent()

    def record(self, **values: Any) -> None:
        """Append one record; numbers keep full precision.

        Raises:
            StorageError: the disk is full or the file cannot be written to.
        """
        if self.log_path is None:
            return
        try:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            # Opened for each record: nothing unwritten is left behind when the disk is full.
            with self.log_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
        except OSError as error:
            raise StorageError(
                f"cannot write '{self.log_path}': {(error.strerror or str(error)).lower()}",
                hint="Free some space or choose another place, then resume the run.",
            ) from error

    def position(self) -> int:
        """Bytes of the log so far; goes into checkpoints."""
        if self.log_path is None or not self.log_path.exists():
            return 0
        return self.log_path.stat().st_size

    def rewind(self, position: int) -> None:
        """Cut the log to what it was at a checkpoint: the steps after it are done again."""
        if self.log_path is not None and self.position() > position:
            os.truncate(self.log_path, position)


def clock(seconds: float) -> str:
    """3 -> '0:03', 3723 -> '1:02:03'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Speed:
    """Items per second, smoothed over about the last `window` seconds."""

    def __init__(self, window: float = 30.0) -> None:
        self.window = window
        self.rate = 0.0
        self._last = time.perf_counter()

    def update(self, n_items: int) -> float:
        """Count `n_items` since the last call and return the smoothed rate."""
        now = time.perf_counter()
        passed, self._last = max(now - self._last, 1e-9), now
        share = min(1.0, passed / self.window) if self.rate else 1.0
        self.rate += share * (n_items / passed - self.rate)
        return self.rate
