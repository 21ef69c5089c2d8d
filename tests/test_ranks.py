"""Two processes that work together, for real."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from torch._C._distributed_c10d import HashStore

from tests.rank_runs import in_ranks, values
from ulmfit import ranks
from ulmfit.errors import InputError, TrainingError


def test_alone_everything_does_nothing(tmp_path: Path) -> None:
    ranks.join()
    assert (ranks.size(), ranks.rank(), ranks.started()) == (1, 0, 1)
    assert ranks.exchange("here", 1, 2.5) == [(1, 2.5)]
    assert ranks.total("here", 1, 2.5) == [1, 2.5]
    kept = object()
    assert ranks.first("here", lambda: kept, tmp_path / "nowhere") is kept
    assert ranks.gathered("here", b"abc") == [b"abc"]
    tensor = torch.ones(3)
    ranks.add_up("here", [tensor])
    ranks.take_over("here", [tensor])
    assert tensor.tolist() == [1, 1, 1]
    assert ranks.fail(1)
    ranks.first_goes_on()
    ranks.require_room(0)


def meet(store: Any, number: int, found: dict[int, Any]) -> None:
    part = ranks.fresh_part(store, number, 3)
    part.set(f"key of {number}", "there")
    found[number] = [part.get(f"key of {other}") for other in range(3)]


def test_a_restart_does_not_read_what_the_last_attempt_wrote() -> None:
    store = HashStore()
    for key in ("words", "word/1", "word/2", "answer/1", "answer/2"):
        store.set(key, "stale stale stale" if key == "words" else "stale")
    for order in ([0, 1, 2], [2, 1, 0]):
        found: dict[int, Any] = {}
        threads = [Thread(target=meet, args=(store, number, found)) for number in order]
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        for thread in threads:
            thread.join(20)
        assert found == dict.fromkeys(range(3), [b"there"] * 3)


def test_who_waits_for_nobody_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "DATA_TIMEOUT", timedelta(seconds=0.1))
    with pytest.raises(TrainingError, match="2 processes were to train together, but not all"):
        ranks.fresh_part(HashStore(), 0, 2)


def everything(folder: str) -> dict[str, Any]:
    """One call of each function; what they answer."""
    r = ranks.rank()
    own = [torch.full((2, 2), float(r + 1)), torch.arange(3) + 10 * r, torch.tensor(0.5 + r)]
    summed, taken = [t.clone() for t in own], [t.clone() for t in own]
    ranks.add_up("sum", summed)
    ranks.take_over("take", taken)

    def write() -> list[float]:
        time.sleep(0.2)
        (Path(folder) / "written").touch()
        return [0.1, float(r)]

    return {
        "rows": ranks.exchange("rows", 2**53 - r, 0.1 * r),
        "total": ranks.total("total", r, 1),
        "sums": [tensor.tolist() for tensor in summed],
        "taken": [tensor.tolist() for tensor in taken],
        "first": ranks.first("write", write, Path(folder) / "written"),
        "nothing": ranks.first("nothing", lambda: None),
        "gathered": [data.decode() for data in ranks.gathered("gather", b"xyz"[: 2 - r])],
    }


def test_what_two_processes_tell_each_other(tmp_path: Path) -> None:
    first, second = values(in_ranks(2, everything, tmp_path, str(tmp_path)))
    assert first.pop("gathered") == ["xy", "x"]
    assert second.pop("gathered") == []
    assert first == second
    assert first == {
        "rows": [[2**53, 0.0], [2**53 - 1, 0.1]],
        "total": [1, 2],
        "sums": [[[3, 3], [3, 3]], [10, 12, 14], 2.0],
        "taken": [[[1, 1], [1, 1]], [0, 1, 2], 0.5],
        "first": [0.1, 0.0],
        "nothing": None,
    }


def long_vectors(n: int) -> list[float]:
    ranks.BUCKET = 5
    found = [torch.full((size,), float(ranks.rank() + 1)) for size in (3, 2, 1, 9, 4, n)]
    ranks.add_up("sum", found)
    return [float(tensor.sum()) for tensor in found]


def test_many_tensors_go_in_buckets(tmp_path: Path) -> None:
    for sums in values(in_ranks(2, long_vectors, tmp_path, 2)):
        assert sums == [9, 6, 3, 27, 12, 6]


def fails(who: int, kind: str) -> None:
    """Rank `who` fails while the others wait for it; -1 for all of them."""
    ranks.exchange("before")
    if who in (-1, ranks.rank()):
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise InputError("row 3 has no text") if kind == "input" else RuntimeError("a bug")
    ranks.first("wait", lambda: ranks.exchange("long work") and None)


@pytest.mark.parametrize("who", [0, 1])
def test_one_that_fails_stops_the_other_which_keeps_quiet(who: int, tmp_path: Path) -> None:
    outcomes = in_ranks(2, fails, tmp_path, who, "input")
    failed, other = outcomes[who], outcomes[1 - who]
    assert failed.error == "InputError: row 3 has no text."
    assert failed.speaks
    assert (other.error, other.speaks) == ("StoppedElsewhere", False)
    assert failed.code == other.code == 2


def test_where_both_fail_alike_the_first_says_why(tmp_path: Path) -> None:
    outcomes = in_ranks(2, fails, tmp_path, -1, "bug")
    assert [outcome.error for outcome in outcomes] == ["RuntimeError: a bug"] * 2
    assert [outcome.speaks for outcome in outcomes] == [True, False]
    assert [outcome.code for outcome in outcomes] == [1, 1]


def test_one_that_is_killed_stops_the_other(tmp_path: Path) -> None:
    killed, other = in_ranks(2, fails, tmp_path, 0, "killed")
    assert killed.code == -signal.SIGKILL
    assert other.code == 1
    assert other.error.startswith(
        "TrainingError: another of the processes that train together has ended. torchrun says which"
    )


def apart() -> None:
    ranks.exchange("one" if ranks.rank() else "another")


def test_processes_that_come_apart_are_stopped(tmp_path: Path) -> None:
    for outcome in in_ranks(2, apart, tmp_path):
        assert outcome.code == 1
        assert "the processes that train together are out of step" in outcome.error


def unseen(folder: str) -> None:
    ranks.VISIBLE_SECONDS = 0.3
    ranks.first("write", lambda: None, Path(folder) / "elsewhere")
    ranks.exchange("after")


def test_a_folder_that_is_not_shared_is_an_error(tmp_path: Path) -> None:
    first, second = in_ranks(2, unseen, tmp_path, str(tmp_path))
    assert first.error == "StoppedElsewhere"
    assert "which the first process wrote, cannot be seen by process 1" in second.error
    assert second.error.startswith("InputError")
    assert "expected a folder that all hosts share" in second.error


def alone_afterwards() -> list[Any]:
    ranks.first_goes_on()
    return [ranks.size(), ranks.started(), torch.distributed.is_initialized()]


def test_the_first_goes_on_alone(tmp_path: Path) -> None:
    first, second = in_ranks(2, alone_afterwards, tmp_path)
    assert (first.code, first.value) == (0, [1, 1, False])
    assert (second.code, second.value, second.error) == (0, None, "")


def crowded() -> None:
    ranks.require_room(2)
    ranks.require_room(1)


def test_more_processes_than_gpus_are_refused(tmp_path: Path) -> None:
    first, _ = in_ranks(2, crowded, tmp_path)
    assert first.error == (
        "SettingsError: 2 processes were started on a host with 1 GPUs: expected at most one "
        "process for each GPU. Start `torchrun --nproc-per-node 1`, or train on CPUs: --device cpu."
    )
