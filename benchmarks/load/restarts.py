"""One service takes the place of another on the same port."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass

from benchmarks.load.serving import Served, Service


@dataclass(frozen=True)
class Handover:
    """Seconds since the old service was told to stop.

    Attributes:
        drained: until it had ended.
        ready: until the next one listened.
    """

    drained: float
    ready: float

    def seconds(self) -> dict[str, float]:
        """For the results file."""
        return {name: round(value, 2) for name, value in asdict(self).items()}


async def handed_over(service: Service, faults: list[str]) -> Handover:
    """Stop the service and at the same moment start the next one.

    Args:
        service: is running.
        faults: gets what went wrong with the one that ended.

    Raises:
        NotServedError: the next one does not start.
    """
    old, begin = service.current(), time.monotonic()
    old.stop()
    starting = asyncio.create_task(asyncio.to_thread(service.start, old.port))
    code = await asyncio.to_thread(old.ended)
    drained = time.monotonic() - begin
    await starting
    if code:
        faults.append(f"the old service ended with exit code {code}")
    faults.extend(f"the old service said: {line}" for line in said_badly(old))
    return Handover(drained, time.monotonic() - begin)


def said_badly(served: Served) -> list[str]:
    """Lines of a service that ended which tell of something broken."""
    return [line.strip() for line in served.said if "Traceback" in line or "ERROR" in line]
