"""Functions run by several processes that train together, as torchrun would start them.

The processes are forked from one that has imported torch already and computes nothing itself.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ulmfit import ranks
from ulmfit.errors import StoppedElsewhere, UlmfitError
from ulmfit.train.tracker import Silent

SECONDS = 120.0  # for all of it, on a machine that is busy otherwise

_CONTEXT = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Outcome:
    """How one process ended.

    Attributes:
        code: its exit code.
        value: what the function returned, None if it did not.
        error: class and message of what it raised, "" for nothing.
        speaks: whether it is the one to tell the user of the error.
        out: its standard output.
        err: its standard error.
    """

    code: int
    value: Any = None
    error: str = ""
    speaks: bool = True
    out: str = ""
    err: str = ""


class Striking(Silent):
    """Sends a signal to its own process at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def advance(self, step: int, values: dict[str, float]) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def in_ranks(n: int, job: Callable[..., Any], folder: Path, *arguments: object) -> list[Outcome]:
    """Run `job(*arguments)` in `n` processes that have joined; their outcomes, by rank.

    Args:
        n: how many.
        job: a function of a module; its result has to be JSON.
        folder: for the results.
        arguments: of the job.
    """
    _CONTEXT.set_forkserver_preload(["tests.rank_imports"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    started = []
    for rank in range(n):
        result = folder / f"outcome-{rank}.json"
        result.unlink(missing_ok=True)
        process = _CONTEXT.Process(target=_take_part, args=(rank, n, port, result, job, arguments))
        process.start()
        started.append((process, result))
    found = []
    for process, result in started:
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
        told = json.loads(result.read_text()) if result.exists() else {}
        printed = [result.with_suffix(end).read_text(encoding="utf-8") for end in (".out", ".err")]
        found.append(Outcome(process.exitcode or 0, **told, out=printed[0], err=printed[1]))
    return found


def values(outcomes: list[Outcome]) -> list[Any]:
    """What the processes returned; none of them may have failed."""
    assert all(outcome.code == 0 and not outcome.error for outcome in outcomes), outcomes
    return [outcome.value for outcome in outcomes]


def _take_part(
    rank: int, n: int, port: int, result: Path, job: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(n)}
    os.environ |= {"LOCAL_WORLD_SIZE": str(n), "OMP_NUM_THREADS": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for number, end in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(result.with_suffix(end), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    told: dict[str, Any] = {}
    code = 0
    try:
        ranks.join()
        told["value"] = job(*arguments)
        ranks.first_goes_on()
    except SystemExit as error:
        code = int(error.code or 0)
    except StoppedElsewhere as error:
        code, told = error.exit_code, {"error": "StoppedElsewhere", "speaks": False}
    except BaseException as error:
        code = error.exit_code if isinstance(error, UlmfitError) else 1
        told = {"error": f"{type(error).__name__}: {error}", "speaks": ranks.fail(code)}
        traceback.print_exc()
    result.write_text(json.dumps(told))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
