"""Results as JSON lines, and what several seeds say together."""

from __future__ import annotations

import contextlib
import math
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from ulmfit.config import Frozen
from ulmfit.errors import InputError
from ulmfit.experiments.cells import Cell
from ulmfit.experiments.recipes import RESULTS, Metric, recipe_folder
from ulmfit.locks import alone_in
from ulmfit.storage import atomic_file, atomic_write
from ulmfit.train.metrics import wilson_interval

# 97.5 % points of Student's t for 1, 2, ... degrees of freedom; then the normal distribution's.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)
_Z = 1.96


class LMRecord(Frozen):
    """The pretrained language model behind a result: name, and SHA-256 of its weights."""

    name: str
    sha256: dict[str, str]


class Result(Frozen):
    """One line of a results file: a cell with its number and where that comes from.

    Attributes:
        experiment: name.
        dataset: by the experiment's name of it.
        variant: row.
        labels: size of the low-shot draw, None for all.
        seed: of everything that is drawn.
        scale: which.
        metric: what the error is measured on.
        error: in percent.
        wrong: rows that are wrong.
        rows: rows that were measured.
        train_rows: labelled rows of the training part.
        members: error of each direction alone, in percent.
        curve: a record per epoch of the first member.
        key: hash of all that decides the number.
        recipe: the same without the seed.
        settings: hash of all settings.
        data: SHA-256 of the training rows.
        lm: pretrained language model, None where there is none.
        seconds: wall time of all its work, also of what it shares with other cells.
        hardware: processor and threads, or GPU.
        command: that made it.
        commit: of the code.
    """

    experiment: str
    dataset: str
    variant: str
    labels: int | None
    seed: int
    scale: str
    metric: Metric
    error: float
    wrong: int = Field(ge=0)
    rows: int = Field(gt=0)
    train_rows: int
    members: dict[str, float]
    curve: list[dict[str, Any]]
    key: str
    recipe: str
    settings: str
    data: str
    lm: LMRecord | None
    seconds: float
    hardware: str
    command: str
    commit: str

    @model_validator(mode="after")
    def _error_is_that_of_the_rows(self) -> Self:
        """A number that was changed by hand in one place is no result."""
        share = 100 * self.wrong / self.rows
        if abs(self.error - share) > 50 / self.rows + 1e-9:  # half a row is not exact as a float
            raise ValueError(f"error {self.error} is not that of {self.wrong} of {self.rows} rows")
        return self

    def cell(self) -> Cell:
        """Which cell it is of."""
        return Cell(self.experiment, self.dataset, self.variant, self.labels, self.seed)

    def moved(self, cell: Cell) -> Result:
        """The same work as the number of another cell."""
        names = ("experiment", "dataset", "variant", "labels", "seed")
        return self.model_copy(update={name: getattr(cell, name) for name in names})


def read_results(path: Path) -> list[Result]:
    """All lines of a results file; none where there is no file.

    Raises:
        InputError: a line is no result, or the file cannot be read.
    """
    found = []
    for number, line in enumerate(_content(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(Result.model_validate_json(line))
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"])) or "the line"
            raise InputError(
                f"'{path}', line {number}: {where}: {fault['msg']}",
                expected="a result as `ulmfit reproduce` writes it",
                hint="Take the line out to have it measured again.",
            ) from error
    return found


def add_results(path: Path, results: Iterable[Result]) -> None:
    """Append lines; whoever reads the file sees all of them or none.

    Raises:
        StorageError: the disk is full or the place cannot be written to.
    """
    lines = "".join(result.model_dump_json() + "\n" for result in results)
    if not lines:
        return
    with alone_in(path.parent):  # another run, with a work folder of its own, may add to it too
        before = _content(path)
        if before and not before.endswith(b"\n"):  # edited by hand
            before += b"\n"
        atomic_write(path, before + lines.encode())


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"'{path}' cannot be read: {reason}", expected="a file") from error


def require_place(path: Path) -> None:
    """See that results can be written, before hours of work end in a full or closed place.

    Raises:
        StorageError: names the file.
    """
    with contextlib.suppress(_NotWrittenError), atomic_file(path):
        raise _NotWrittenError


class _NotWrittenError(Exception):
    """Discards what has been begun."""


@dataclass(frozen=True)
class Summary:
    """What the seeds of one recipe say together, in percent.

    Attributes:
        mean: of the errors.
        low: lower end of the 95 % interval.
        high: its upper end.
        least: smallest error.
        most: largest error.
        n: seeds.
    """

    mean: float
    low: float
    high: float
    least: float
    most: float
    n: int


def summarize(results: Sequence[Result]) -> Summary:
    """What the results of one recipe say together."""
    return interval([result.error for result in results], results[0].rows)


def interval(errors: Sequence[float], rows: int) -> Summary:
    """Mean and 95 % interval: Student's t over the seeds; of one seed, Wilson's over the rows.

    Args:
        errors: of each seed, in percent.
        rows: that were measured.
    """
    mean, n = statistics.fmean(errors), len(errors)
    if n == 1:
        low, high = wilson_interval(round(mean * rows / 100), rows)
        return Summary(mean, 100 * low, 100 * high, mean, mean, 1)
    half = _half_over_seeds(errors, _step(rows))
    low, high = max(0.0, mean - half), min(100.0, mean + half)
    return Summary(mean, low, high, min(errors), max(errors), n)


def _half_over_seeds(values: Sequence[float], step: float) -> float:
    """Half of a 95 % interval; two equal values are not known to be nearer than `step`."""
    n = len(values)
    return t_quantile(n - 1) * max(statistics.stdev(values), step) / math.sqrt(n)


def _step(rows: int) -> float:
    """Standard deviation of an error's rounding to whole rows, in points."""
    return 100 / rows / math.sqrt(12)


def difference(ours: Sequence[Result], reference: Sequence[Result]) -> tuple[float, float]:
    """How much worse `ours` is, and half of the 95 % interval of that; in points.

    Seeds that both have are compared pair by pair, since they share draws and order. To what the
    seeds vary comes what other rows would: at least as many rows as make up the gap were answered
    differently, which gives a share g of N rows the variance g (1 - g) / N or more. With fewer than
    two such seeds the interval is that of two shares of independent rows.
    """
    rows = ours[0].rows
    theirs = {result.seed: result.error for result in reference}
    pairs = [r.error - theirs[r.seed] for r in ours if r.seed in theirs]
    if len(pairs) > 1:
        gap = statistics.fmean(pairs)
        half = _half_over_seeds(pairs, math.sqrt(2) * _step(rows))
        return gap, math.hypot(half, _Z * math.sqrt(_variance(abs(gap), rows)))
    gap = statistics.fmean(r.error for r in ours) - statistics.fmean(theirs.values())
    means = [statistics.fmean(r.error for r in results) for results in (ours, reference)]
    return gap, _Z * math.sqrt(sum(_variance(mean, rows) for mean in means))


def half_over_rows(results: Sequence[Result]) -> float:
    """Half of the 95 % interval of an error that other rows would leave, in points."""
    mean = statistics.fmean(result.error for result in results)
    return _Z * math.sqrt(_variance(mean, results[0].rows))


def _variance(percent: float, rows: int) -> float:
    """Of a share of independent rows, in points squared; never less than that of a quarter row."""
    share = percent / 100
    return 1e4 * max(share * (1 - share), 0.25 / rows) / rows


def t_quantile(freedom: int) -> float:
    """97.5 % point of Student's t distribution."""
    return _T[freedom - 1] if freedom <= len(_T) else _Z + 2.4 / freedom


def newest(results: Iterable[Result]) -> dict[tuple[str, str, str, int | None, str], list[Result]]:
    """Results by (experiment, data set, variant, labels, scale): those of the last recipe only.

    Settings, data and language models change; a mean over two recipes would say nothing. Of one
    seed measured twice the later line counts.
    """
    groups: dict[tuple[str, str, str, int | None, str], list[Result]] = {}
    for r in results:
        groups.setdefault((r.experiment, r.dataset, r.variant, r.labels, r.scale), []).append(r)
    return {
        place: list({r.seed: r for r in found if r.recipe == found[-1].recipe}.values())
        for place, found in groups.items()
    }


def shipped_results() -> list[Result]:
    """The results that come with the package."""
    folder = recipe_folder() / RESULTS
    return [result for path in sorted(folder.glob("*.jsonl")) for result in read_results(path)]


def hardware(threads: int, gpu: str | None, precision: str) -> str:
    """Processor and threads of a cell, or its GPU, and the precision of the products."""
    if gpu is not None:
        return f"{gpu}, {precision}"
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    return f"{name}, {threads} thread{'s' * (threads > 1)}, {precision}"


def commit() -> str:
    """Commit of the checkout that runs, "+" behind it where code or recipes were changed since.

    Outside of a checkout it is the version of the package.
    """
    from ulmfit import __version__

    top = recipe_folder().parent
    if not (top / ".git").exists():
        return f"version {__version__}"
    code = ["src", "reproduce/experiments", "reproduce/scales"]
    try:
        head = _git(top, "rev-parse", "--short=12", "HEAD")
        changed = _git(top, "status", "--porcelain", "--untracked-files=no", "--", *code)
    except (OSError, subprocess.CalledProcessError):
        return f"version {__version__}"
    return head + "+" * bool(changed)


def _git(top: Path, *arguments: str) -> str:
    command = ["git", "-C", str(top), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 (fixed words)
