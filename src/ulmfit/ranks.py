"""Several processes that train together, as `torchrun` starts them. Alone, all of it does nothing.

Rank r of N computes on its part of every batch; gradients and losses are added up, so that all hold
the same weights at every step. What is decided by a clock, by chance or by a file is decided by the
first process, and the others are told (`first`). Two groups: one for gradients, on the devices, and
one for numbers, on the CPU, whose every round also says who has failed: a process that stops tells
the others at the place where they would wait for it.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from ulmfit.errors import InputError, SettingsError, StoppedElsewhere, TrainingError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

# What torchrun sets; without them a process, and those that it starts, are alone.
VARIABLES = (
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK"),
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT"),
)

# Gradients are exchanged by processes that are at the same line: one that does not come is gone.
DATA_TIMEOUT = timedelta(minutes=10)
# The others wait while the first one packs a corpus. One that dies closes its connections: nobody
# waits for it.
CONTROL_TIMEOUT = timedelta(days=30)
# torchrun kills the rest 30 s after the first failure.
FAILURE_TIMEOUT = timedelta(seconds=20)

# Shared folders may show a new file late: NFS remembers for up to a minute that it was not there.
VISIBLE_SECONDS = 90.0
_LOOK = 0.2

# Numbers of one round: its state and place, then what is exchanged.
WIDTH = 16
_HEAD = 2

# What Gloo says of a process that does not answer; NCCL's errors tell more as they are.
_LOST = ("connection closed", "connection reset", "broken pipe", "timed out")

# Elements that go over the wire at once, 64 MB of float32.
BUCKET = 1 << 24


@dataclass
class _Group:
    rank: int
    size: int
    control: Any
    broken: bool = False


_group: _Group | None = None


def started() -> int:
    """How many processes the environment says were started to work together."""
    return int(os.environ.get("WORLD_SIZE") or 1) if os.environ.get("RANK") else 1


def size() -> int:
    """How many processes train together: 1 before `join`."""
    return _group.size if _group is not None else 1


def rank() -> int:
    """Which of them this is: 0 for the first, which is the only one to write."""
    return _group.rank if _group is not None else 0


def join() -> None:
    """Meet the other processes, if the environment names any.

    Raises:
        TrainingError: they do not come within `DATA_TIMEOUT`.
    """
    global _group
    if started() == 1 or _group is not None:
        return
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    if torch.cuda.is_available() and distributed.is_nccl_available():
        backend = "cpu:gloo,cuda:nccl"
    else:
        backend = "gloo"
    store, number, n = next(rendezvous("env://", timeout=DATA_TIMEOUT))
    store = fresh_part(store, number, n)
    distributed.init_process_group(
        backend, store=store, rank=number, world_size=n, timeout=DATA_TIMEOUT
    )
    control = distributed.new_group(backend="gloo", timeout=CONTROL_TIMEOUT)
    _group = _Group(number, n, control)


def fresh_part(store: Any, number: int, n: int) -> Any:
    """A part of a store that is of this attempt alone: torchrun keeps one store for all restarts.

    Each process says a word that nobody has used before, the first one repeats all that it hears,
    and who hears its own word repeated says the first one's back.

    Args:
        store: torch's, common to the processes.
        number: of this process.
        n: of all of them.
    """
    from torch.distributed.distributed_c10d import PrefixStore

    def read(key: str) -> str:
        return str(store.get(key).decode()) if store.check([key]) else ""

    own, others = uuid4().hex, range(1, n)
    until = time.monotonic() + DATA_TIMEOUT.total_seconds()
    while time.monotonic() < until:
        if number == 0:
            words = [own, *(read(f"word/{other}") for other in others)]
            store.set("words", " ".join(word or "-" for word in words))
            if all(read(f"answer/{other}") == own for other in others):
                return PrefixStore(f"of {own}", store)
        else:
            store.set(f"word/{number}", own)
            words = read("words").split()
            if len(words) == n and words[number] == own:
                store.set(f"answer/{number}", words[0])
                return PrefixStore(f"of {words[0]}", store)
        time.sleep(_LOOK / 4)
    raise TrainingError(
        f"{n} processes were to train together, but not all of them have connected",
        hint="Look at what torchrun says on the other hosts, and whether they reach one another.",
    )


def require_room(devices: int) -> None:
    """Check that each process of this host has a GPU of its own.

    Raises:
        SettingsError: there are more processes than GPUs.
    """
    here = int(os.environ.get("LOCAL_WORLD_SIZE") or size())
    if size() > 1 and here > devices:
        raise SettingsError(
            f"{here} processes were started on a host with {devices} GPUs",
            expected="at most one process for each GPU",
            hint=f"Start `torchrun --nproc-per-node {devices}`, or train on CPUs: --device cpu.",
        )


def exchange(place: str, *values: float) -> list[tuple[float, ...]]:
    """Tell all processes some numbers.

    Args:
        place: where in the program this is; has to be the same in all processes.
        values: as many in each of them, at most `WIDTH`; whole ones exact up to 2^53.

    Returns:
        Everybody's, by rank; alone, one's own.

    Raises:
        StoppedElsewhere: another process has failed.
        TrainingError: another process is at another place, or gone without a word.
    """
    if _group is None:
        return [values]
    with _losses_told(_group):
        rows = _round(_group, 0, place, values, CONTROL_TIMEOUT)
    failed = [int(row[0]) for row in rows if row[0]]
    if failed:
        _group.broken = True
        raise StoppedElsewhere(failed[0] - 1)
    if len({row[1] for row in rows}) > 1:
        _group.broken = True
        raise TrainingError(
            f"the processes that train together are out of step: this one is at {place!r}, another "
            "is not",
            expected="the same program, data and settings in every process",
        )
    return [row[_HEAD : _HEAD + len(values)] for row in rows]


@contextmanager
def _losses_told(group: _Group) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error).lower() for sign in _LOST):
            raise
        group.broken = True
        raise TrainingError(
            "another of the processes that train together has ended",
            hint="torchrun says which one, and how it ended; where it was killed, memory may have "
            "run out. --resume goes on.",
        ) from error


def total(place: str, *values: float) -> list[float]:
    """The sums of numbers over all processes; arguments and errors as of `exchange`."""
    return [sum(column) for column in zip(*exchange(place, *values), strict=True)]


def _round(
    group: _Group, state: int, place: str, values: Sequence[float], timeout: timedelta
) -> list[tuple[float, ...]]:
    import torch
    from torch import distributed

    assert len(values) <= WIDTH
    own = torch.zeros(_HEAD + WIDTH, dtype=torch.float64)
    row = [state, zlib.crc32(place.encode()), *map(float, values)]
    own[: len(row)] = torch.tensor(row, dtype=torch.float64)
    found = [torch.empty_like(own) for _ in range(group.size)]
    work = distributed.all_gather(found, own, group=group.control, async_op=True)
    assert work is not None
    work.wait(timeout)
    return [tuple(numbers.tolist()) for numbers in found]


def fail(code: int) -> bool:
    """Tell the others that this process stops; to be called once, with its exit code.

    Returns:
        Whether this is the one to tell the user why: the first of those that fail alike.
    """
    if _group is None or _group.broken:
        return True
    _group.broken = True
    try:
        rows = _round(_group, code + 1, "failure", (), FAILURE_TIMEOUT)
    except RuntimeError:  # the others are gone, or busy for too long
        return True
    return next(number for number, row in enumerate(rows) if row[0]) == _group.rank


def first(place: str, work: Callable[[], T], leaves: Path | None = None) -> T:
    """Let the first process do something and tell the others what came of it.

    Args:
        place: as of `exchange`.
        work: its outcome is None or JSON's; tuples arrive as lists.
        leaves: file or folder that the others will read: they wait until they see it.

    Raises:
        StoppedElsewhere: it failed there.
        InputError: `leaves` cannot be seen here: the folder is not shared.
    """
    if _group is None:
        return work()
    from torch import distributed, frombuffer, uint8

    found = work() if _group.rank == 0 else None
    text = bytearray(json.dumps(found).encode())
    length = int(exchange(place, len(text))[0][0])
    data = frombuffer(text if _group.rank == 0 else bytearray(length), dtype=uint8)
    distributed.broadcast(data, 0, group=_group.control)
    if _group.rank == 0:
        return found  # type: ignore[return-value]
    if leaves is not None:
        _wait_to_see(leaves)
    told: T = json.loads(data.numpy().tobytes())
    return told


def made_by_first(place: str, make: Callable[[], T], read: Callable[[], T], leaves: Path) -> T:
    """What the first process makes and leaves in files; the others `read` it from there.

    Raises:
        StoppedElsewhere: it failed there.
        InputError: `leaves` cannot be seen here: the folder is not shared.
    """
    made: list[T] = []
    first(place, lambda: made.append(make()), leaves)
    return made[0] if made else read()


def _wait_to_see(path: Path) -> None:
    until = time.monotonic() + VISIBLE_SECONDS
    while not path.exists():
        if time.monotonic() > until:
            raise InputError(
                f"'{path}', which the first process wrote, cannot be seen by process {rank()}",
                expected="a folder that all hosts share",
                hint="Choose a --out on a shared file system, the same path on every host.",
            )
        time.sleep(_LOOK)
        if path.parent.is_dir():
            os.listdir(path.parent)  # makes a network file system look again


def first_goes_on() -> None:
    """Leave the rest to the first process, which is alone from here on; the others exit with 0."""
    global _group
    if _group is None:
        return
    from torch import distributed

    exchange("the end of training together")
    leaving = _group.rank > 0
    distributed.destroy_process_group()
    _group = None
    if leaving:
        raise SystemExit(0)
    for name in VARIABLES:  # or the processes that it starts would look for the others
        os.environ.pop(name, None)


def gathered(place: str, data: bytes) -> list[bytes]:
    """Everybody's bytes, by rank, in the first process; an empty list in the others."""
    if _group is None:
        return [data]
    import torch
    from torch import distributed

    lengths = [int(row[0]) for row in exchange(place, len(data))]
    own = torch.zeros(max(lengths), dtype=torch.uint8)
    own[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    found = [torch.empty_like(own) for _ in lengths] if _group.rank == 0 else None
    distributed.gather(own, found, 0, group=_group.control)
    return [
        block[:length].numpy().tobytes()
        for block, length in zip(found or (), lengths, strict=found is not None)
    ]


def add_up(place: str, tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their sums over all processes: as many of the same shapes in each."""
    if _group is not None:
        exchange(place)
        _in_buckets(tensors, lambda bucket, distributed: distributed.all_reduce(bucket))


def take_over(place: str, tensors: Sequence[Tensor]) -> None:
    """Replace tensors by the first process's."""
    if _group is not None:
        exchange(place)
        _in_buckets(tensors, lambda bucket, distributed: distributed.broadcast(bucket, 0))


def _in_buckets(tensors: Sequence[Tensor], send: Callable[[Tensor, Any], object]) -> None:
    """Send tensors as a few long vectors, each of one type; results are written into them."""
    import torch
    from torch import distributed

    todo = list(tensors)
    while todo:
        kind, bucket = (todo[0].dtype, todo[0].device), [todo.pop(0)]
        n = bucket[0].numel()
        while todo and (todo[0].dtype, todo[0].device) == kind and n + todo[0].numel() <= BUCKET:
            n += todo[0].numel()
            bucket.append(todo.pop(0))
        with torch.no_grad():
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in bucket])
            assert _group is not None
            with _losses_told(_group):
                send(flat, distributed)
            parts = torch.split(flat, [tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view_as(tensor))
