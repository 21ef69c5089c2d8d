"""`torchrun -m ulmfit`, as people type it: stopped, killed, resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_several import command, files, records

__all__ = ["files"]

pytestmark = pytest.mark.slow

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
TORCHRUN += ["--standalone"]
SECONDS = 180.0
LONG = ["--direction", "forward", "--set", "finetune_lm.epochs=40"]


def start(arguments: list[str], *more: str) -> subprocess.Popen[str]:
    """Two processes that train."""
    return subprocess.Popen(
        [*TORCHRUN, *more, "-m", "ulmfit", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_records(model: Path, n: int) -> None:
    """Until a run has validated so often."""
    log = model / "training" / "forward" / "lm" / "log.jsonl"
    until = time.monotonic() + SECONDS
    while not log.exists() or len(log.read_text().splitlines()) < n:
        assert time.monotonic() < until
        time.sleep(0.05)


def workers(torchrun: int) -> list[int]:
    """The process ids of both, by rank."""
    found: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (entry / "environ").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            continue
        if parent == torchrun:
            ranks = [v.partition(b"=")[2] for v in variables if v.startswith(b"RANK=")]
            found |= {int(rank): int(entry.name) for rank in ranks}
    return [found[rank] for rank in sorted(found)]


def weights(model: Path) -> bytes:
    return (model / "model.safetensors").read_bytes()


@pytest.fixture
def whole(files: Path) -> Path:
    """A model of two processes that nobody stopped."""
    process = start(command("finetune-lm", files, "whole", 4, *LONG))
    out, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert out.count("Language model: ") == 1
    assert errors.count("forward language model: ") == 1
    return files / "whole"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed(files: Path, whole: Path, number: signal.Signals) -> None:
    arguments = command("finetune-lm", files, "part", 4, *LONG)
    process = start(arguments)
    wait_for_records(files / "part", 4)
    process.send_signal(number)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert errors.count("Stopped at step ") == 1
    assert errors.count("Run the same command with --resume to go on.") == 1
    assert not (files / "part" / "config.json").exists()
    process = start([*arguments, "--resume"])
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert "resumed at step" in errors
    assert records(files / "part") == records(whole)
    assert weights(files / "part") == weights(whole)


@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_them_is_killed(files: Path, rank: int) -> None:
    arguments = command("finetune-lm", files, "part", 4, *LONG)
    process = start(arguments)
    wait_for_records(files / "part", 4)
    os.kill(workers(process.pid)[rank], signal.SIGKILL)
    began = time.monotonic()
    _, errors = process.communicate(timeout=SECONDS)
    assert time.monotonic() - began < 60
    assert process.returncode != 0
    assert "Signal 9 (SIGKILL) received" in errors
    assert "unexpected" not in errors
    assert not (files / "part" / "config.json").exists()


def test_torchrun_restarts_a_run_that_goes_on(files: Path, whole: Path) -> None:
    arguments = command("finetune-lm", files, "part", 4, *LONG, "--resume")
    process = start(arguments, "--max-restarts", "1")
    wait_for_records(files / "part", 4)
    os.kill(workers(process.pid)[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert "unexpected" not in errors
    assert records(files / "part") == records(whole)
    assert weights(files / "part") == weights(whole)
