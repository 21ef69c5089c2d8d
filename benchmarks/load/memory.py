"""Memory of the service while it is asked, and whether it grows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

MIB = 1 << 20
WARM_UP = 0.2  # share of the time in which caches may fill
MOST_GROWTH = 0.01  # of the memory, over the time after warm-up


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for one in found:
        for path in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += map(int, path.read_text().split())
            except OSError:  # it has just ended
                continue
    return found


def resident(pid: int) -> int:
    """Bytes of memory of a process, 0 where it has ended (Linux)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


async def watch(pid: int, every: float, samples: list[tuple[float, float]]) -> None:
    """Add seconds and MiB of the whole family until cancelled."""
    begin = time.monotonic()
    while True:
        total = sum(map(resident, family(pid)))
        samples.append((time.monotonic() - begin, total / MIB))
        await asyncio.sleep(every)


def after_warm_up(samples: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that count."""
    end = samples[-1][0]
    return [(seconds, mib) for seconds, mib in samples if seconds >= WARM_UP * end]


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """MiB per second: the straight line that fits best."""
    times, sizes = zip(*samples, strict=True)
    middle, size = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((t - middle) ** 2 for t in times)
    if not spread:
        return 0.0
    rise: float = sum((t - middle) * (s - size) for t, s in samples) / spread
    return rise


def grown(samples: Sequence[tuple[float, float]]) -> float:
    """MiB that the line rises over the time of the samples."""
    return slope(samples) * (samples[-1][0] - samples[0][0])
