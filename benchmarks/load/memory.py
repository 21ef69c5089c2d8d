"""Memory of the service while it is asked, and whether it grows.

Two measures of all its processes together. What is resident (RSS) is what an operator sees, but the
system may take pages of files away from a process and give them back; what is private (anonymous
pages, and those in swap) is what a leak would fill. Neither may grow.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MIB = 1 << 20
WARM_UP = 0.2  # share of the time in which caches may fill
MOST_GROWTH = 0.01  # of the memory, over the time after warm-up; ours
RESIDENT, PRIVATE = ("VmRSS",), ("RssAnon", "VmSwap")

Samples = Sequence[tuple[float, float]]  # seconds, MiB


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


def used(pid: int, kinds: Sequence[str]) -> int:
    """Bytes of memory of a process, 0 where it has ended (Linux).

    Args:
        pid: of the process.
        kinds: lines of its status that are added up.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.partition(":")[0] in kinds)


@dataclass
class Watch:
    """Memory of a process and all below it, over time."""

    pid: int
    resident: list[tuple[float, float]] = field(default_factory=list)
    private: list[tuple[float, float]] = field(default_factory=list)

    async def run(self, every: float) -> None:
        """Look every so many seconds, until cancelled."""
        begin = time.monotonic()
        while True:
            pids, now = family(self.pid), time.monotonic() - begin
            for samples, kinds in ((self.resident, RESIDENT), (self.private, PRIVATE)):
                samples.append((now, sum(used(pid, kinds) for pid in pids) / MIB))
            await asyncio.sleep(every)


def summary(samples: Samples) -> dict[str, Any]:
    """For the results file; MiB."""
    late = after_warm_up(samples)
    return {
        "after_warm_up": late[0][1],
        "end": late[-1][1],
        "least": min(mib for _, mib in late),
        "most": max(mib for _, mib in late),
        "slope_per_minute": 60 * slope(late),
        "grown": grown(late),
        "may_grow": MOST_GROWTH * late[0][1],
        "samples": [round(mib, 1) for _, mib in samples],
    }


def faults(kind: str, found: dict[str, Any]) -> list[str]:
    """What a summary says that must not be."""
    if found["grown"] <= found["may_grow"]:
        return []
    return [f"{kind} memory grew by {found['grown']:.1f} MiB, more than {found['may_grow']:.1f}"]


def after_warm_up(samples: Samples) -> Samples:
    """Those that count."""
    end = samples[-1][0]
    return [(seconds, mib) for seconds, mib in samples if seconds >= WARM_UP * end]


def slope(samples: Samples) -> float:
    """MiB per second: the straight line that fits best."""
    middle = sum(seconds for seconds, _ in samples) / len(samples)
    size = sum(mib for _, mib in samples) / len(samples)
    spread: float = sum((seconds - middle) ** 2 for seconds, _ in samples)
    rise: float = sum((seconds - middle) * (mib - size) for seconds, mib in samples)
    return rise / spread if spread else 0.0


def grown(samples: Samples) -> float:
    """MiB that the line rises over the time of the samples."""
    return slope(samples) * (samples[-1][0] - samples[0][0])
