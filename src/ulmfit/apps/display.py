"""Progress of training for a person: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, TextIO

from ulmfit.train.tracker import Display, Silent, clock

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

TEXTS = "texts"  # unit of using a model
LINE_SECONDS = 10.0  # between two plain lines
_REDRAWS = 4  # a second
_SMOOTHING = 30.0  # seconds; epochs differ in speed as layers thaw, so old steps must fade
_WIDEST, _LEAST_BAR = 100, 10  # columns; a wider bar tells no more


def make_display(*, quiet: bool = False, stream: TextIO | None = None) -> Display:
    """The display that suits a stream: a bar on a terminal, else plain lines, or none at all.

    Args:
        quiet: show nothing.
        stream: where to, standard error if None.
    """
    if quiet:
        return Silent()
    out = stream if stream is not None else sys.stderr
    if not out.isatty():
        return LineDisplay(out)
    from rich.console import Console

    console = Console(file=out)
    return LineDisplay(out) if console.is_dumb_terminal else BarDisplay(console)


class Pace:
    """Where a stretch of steps is, and how long the rest will take.

    Args:
        unit: what the speed is of: "tokens" of a language model, "documents" of a classifier in
            training, or `TEXTS` where a step is one text.
        total: steps in all, 0 if nobody knows.
        done: steps done before.
    """

    def __init__(self, unit: str, total: int, done: int) -> None:
        self.unit, self.total, self.done = unit, total, done
        self.values: dict[str, float] = {}
        self._seconds_per_step = 0.0
        self._last = time.monotonic()

    def advance(self, step: int, values: dict[str, float]) -> None:
        """`step` steps are done."""
        now = time.monotonic()
        passed, steps = now - self._last, max(1, step - self.done)
        share = min(1.0, passed / _SMOOTHING) if self._seconds_per_step else 1.0
        self._seconds_per_step += share * (passed / steps - self._seconds_per_step)
        self._last, self.done, self.values = now, step, values

    @property
    def seconds_left(self) -> float | None:
        """None before the first step, and where it is not known how many there will be."""
        left = self.total - self.done
        return left * self._seconds_per_step if self.total and self._seconds_per_step else None

    @property
    def place(self) -> str:
        """`step 12/345 (3%)`, `12 of 345 texts (3%)`, or `12 texts` of an unknown number."""
        if not self.total:
            return f"{self.done:,} {self.unit}"
        if self.unit == TEXTS:
            return f"{self.done:,} of {self.total:,} {self.unit} ({self.done / self.total:.0%})"
        return f"step {self.done}/{self.total} ({self.done / self.total:.0%})"

    def facts(self) -> list[str]:
        """Speed, loss, perplexity (of a language model), learning rate, each with its name."""
        values = self.values
        found = []
        if (speed := values.get(f"{self.unit}/s")) is not None:
            unit = {"documents": "docs"}.get(self.unit, self.unit)
            found.append(f"{speed:,.0f} {unit}/s" if speed >= 10 else f"{speed:.1f} {unit}/s")
        if (loss := values.get("loss")) is not None:
            found.append(f"loss {loss:.3f}")
            if self.unit == "tokens":
                found.append(f"ppl {perplexity(loss)}")
        if (rate := values.get("lr")) is not None:
            found.append(f"lr {rate:.1e}")
        return found


def perplexity(loss: float) -> str:
    """exp(loss) of a loss in nats, with three digits or so."""
    value = math.exp(min(loss, 99.0))
    return f"{value:.1e}" if value >= 1e6 else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


class LineDisplay:
    """Plain lines, one every ten seconds or so: for logs, pipes and terminals that cannot redraw.

    Args:
        stream: where to.
        seconds: between two lines.
    """

    def __init__(self, stream: TextIO, seconds: float = LINE_SECONDS) -> None:
        self._stream = stream
        self._seconds = seconds
        self._pace: Pace | None = None
        self._next = 0.0

    def begin(self, title: str, total_steps: int, done_steps: int) -> None:
        """A stretch begins; the first line comes after its first steps."""
        self._pace = Pace(title, total_steps, done_steps)
        self._next = time.monotonic() + self._seconds

    def advance(self, step: int, values: dict[str, float]) -> None:
        """A step is done: a line, if it is time for one."""
        if self._pace is None:
            return
        self._pace.advance(step, values)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._seconds
            self.note(_line(self._pace))

    def note(self, text: str) -> None:
        """One line."""
        print(text, file=self._stream, flush=True)

    def end(self) -> None:
        """Nothing more to show."""
        self._pace = None


def _line(pace: Pace) -> str:
    left = pace.seconds_left
    parts = [pace.place, *pace.facts()]
    if left is not None:
        parts.append(f"{clock(left)} left")
    return "  " + ", ".join(parts)


class BarDisplay:
    """A bar with the figures beside it, redrawn in place; notes stay above it.

    Args:
        console: on a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pace: Pace | None = None
        self._live: Live | None = None
        self._widest = 0

    def begin(self, title: str, total_steps: int, done_steps: int) -> None:
        """The bar appears."""
        from rich.live import Live

        self.end()
        self._pace, self._widest = Pace(title, total_steps, done_steps), 0
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=_REDRAWS,
            transient=True,
            redirect_stdout=False,
        )
        self._live.start()

    def advance(self, step: int, values: dict[str, float]) -> None:
        """A step is done; the next redraw shows it."""
        if self._pace is not None:
            self._pace.advance(step, values)

    def note(self, text: str) -> None:
        """One line, above the bar where there is one."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def end(self) -> None:
        """The bar goes away; the notes stay."""
        live, self._live, self._pace = self._live, None, None
        if live is not None:
            live.stop()

    def _render(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        pace = self._pace
        if pace is None:
            return ""
        if not pace.total:
            return "  ".join([pace.place, *pace.facts()])
        width = min(self._console.width, _WIDEST)
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        bar = ProgressBar(total=pace.total, completed=pace.done)
        figures = _figures(pace, width - _LEAST_BAR)
        self._widest = max(self._widest, len(figures))  # so that the bar does not jump about
        grid.add_row(bar, figures.rjust(self._widest))
        grid.width = width
        return grid


def _figures(pace: Pace, width: int) -> str:
    """What stands beside the bar; on a narrow terminal the last facts are left out."""
    left, facts = pace.seconds_left, pace.facts()
    end = [] if left is None else [f"{clock(left)} left"]
    while True:
        text = "  ".join([f"{pace.done / pace.total:4.0%}", *facts, *end])
        if len(text) <= width or not facts:
            return text
        facts.pop()
