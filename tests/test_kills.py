"""Real processes killed at random moments of every stage end, resumed, as if they had not been."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests import tally
from tests.child_runs import Request, end_of_child, ended_within, in_child, result, start_child

STAGES = {
    "pretrain": "language_model",
    "finetune-lm": "finetune_lm",
    "finetune-classifier": "classifier",
    "train": "pipeline",
}
MOST_KILLS = 3  # of one run: the resumed run is killed again, now and then


class Undisturbed:
    """The runs that nobody kills, and how long they take."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, tuple[dict[str, object], float]] = {}

    def of(self, run: str) -> tuple[dict[str, object], float]:
        """Result and seconds of a run."""
        if run not in self.known:
            place = self.folder / run
            start_child(Request(run, str(place)))
            began = time.monotonic()
            assert end_of_child() == 0
            self.known[run] = result(place), time.monotonic() - began
        return self.known[run]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    yield Undisturbed(tmp_path_factory.mktemp("undisturbed"))


def killed_after(request: Request, seconds: float) -> bool:
    """Start a run and kill it after so long; False where it was done before."""
    child = start_child(request)
    if not ended_within(seconds):
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    code = end_of_child()
    assert code in (0, -signal.SIGKILL)
    return code != 0


def kill_and_resume(request: Request, seconds: float, draw: random.Random) -> int:
    """A run that is killed at a random moment, one to three times; the number of kills."""
    kills = 0
    wanted = draw.choice([1, 1, 1, 2, MOST_KILLS])
    while kills < wanted and killed_after(
        replace(request, resume=kills > 0), draw.uniform(0, seconds)
    ):
        kills += 1
    assert in_child(replace(request, resume=True)) == 0
    return kills


def survive(stage: str, moments: int, undisturbed: Undisturbed, folder: Path) -> tuple[int, int]:
    """Runs with at least `moments` kills in all; kills tried and kills whose run ended equal."""
    whole, seconds = undisturbed.of(STAGES[stage])
    draw = random.Random(f"{stage} {moments}")
    tried = survived = trial = 0
    while tried < moments:
        trial += 1
        # Saves by time, every step or seldom: a kill also finds runs without a checkpoint.
        request = Request(
            STAGES[stage],
            str(folder / str(trial)),
            checkpoint_seconds=draw.choice([0.0, 0.05, 1e9]),
        )
        kills = kill_and_resume(request, seconds, draw)
        tried += kills
        survived += kills * (result(folder / str(trial)) == whole)
    return tried, survived


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_at_a_random_moment(stage: str, undisturbed: Undisturbed, tmp_path: Path) -> None:
    tried, survived = survive(stage, 1, undisturbed, tmp_path)
    assert survived == tried


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_twenty_kills_at_random_moments(
    stage: str, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    tried, survived = survive(stage, 20, undisturbed, tmp_path)
    tally.record(
        f"kills: {stage}",
        f"'tests/test_kills.py::test_twenty_kills_at_random_moments[{stage}]'",
        tried=tried,
        survived=survived,
    )
    assert survived == tried
