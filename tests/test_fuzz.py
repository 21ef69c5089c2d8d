"""Every kind of file that is loaded, damaged at random: an answer or an error of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests import tally
from tests.child_runs import ROOT, environment

Outcome = dict[str, dict[str, Any]]


def attacked(count: int, seed: int) -> Outcome:
    """What `python -m tests.fuzz` says, in a process of its own with a limit on its memory."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", str(count), str(seed)],
        cwd=ROOT,
        env=environment(hash_seed=0),
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: Outcome = json.loads(done.stdout)
    return found


def no_failures(found: Outcome) -> None:
    shown = "\n".join(f"{name}:\n{text}" for name in found for text in found[name]["shown"])
    assert not shown, shown
    assert all(outcome["failed"] == 0 for outcome in found.values())


def test_damaged_files_are_read_or_refused() -> None:
    found = attacked(12, seed=0)
    assert len(found) > 20
    no_failures(found)
    # Damage that is never noticed would make this test one that cannot fail.
    assert sum(outcome["refused"] for outcome in found.values()) > 100


@pytest.mark.slow
def test_many_damaged_files_are_read_or_refused() -> None:
    found = attacked(600, seed=1)
    test = "tests/test_fuzz.py::test_many_damaged_files_are_read_or_refused"
    for name, outcome in found.items():
        tried, failed = outcome["tried"], outcome["failed"]
        more = {"refused": outcome["refused"]}
        what = f"damaged: {name}"
        tally.record(what, test, tried=tried, survived=tried - failed, **more)
    no_failures(found)
