"""Four kinds of load; each gives its figures, and under "faults" what must not have been."""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.load import memory
from benchmarks.load.asking import GOOD, Questions, Tally, client, crowd
from benchmarks.load.beyond import each_limit, too_many_at_once
from benchmarks.load.connection import Connection, Unreachable, once
from benchmarks.load.restarts import Handover, handed_over
from benchmarks.load.serving import Served, Service

Results = dict[str, Any]
Scenario = Callable[[Service, Questions, argparse.Namespace], Results]

_FIRST = b'{"text": "wait until the model is there"}'
_SAMPLES = 120  # of memory, in a soak
_MOST_REFUSED = 0.01  # of a soak's requests; beyond, the rate is not steady but too high
_PATIENCE_SECONDS = 600.0  # of all who come back together; who then has no answer counts
_PAUSE_SECONDS = 2.0  # at most, between two requests of a connection that is held open


def clients(service: Service, questions: Questions, options: argparse.Namespace) -> Results:
    """Clients that ask without a pause; then requests beyond the limits."""

    async def ask(port: int) -> tuple[Tally, dict[str, str], list[str]]:
        await once(port, _FIRST)
        tally = await crowd(port, questions, options.clients, options.seconds)
        said, faults = await each_limit(port)
        busy, more = await too_many_at_once(port, options.at_once)
        return tally, {**said, **busy}, faults + more

    with service.running() as served:
        tally, said, faults = asyncio.run(ask(served.port))
    return {
        "clients": options.clients,
        "seconds": options.seconds,
        **tally.summary(),
        "texts_per_second": tally.texts / options.seconds,
        "refusals": said,
        "faults": tally.faults() + faults,
    }


async def _steadily(
    port: int, questions: Questions, rate: float, seconds: float, tally: Tally
) -> None:
    """A request every 1/rate seconds, whether or not the ones before are answered.

    Times are counted from when a request was due, so that a client that is late, as the machine is
    busy, hides no wait.
    """
    draw, idle, made = random.Random(0), list[Connection](), list[Connection]()
    begin = time.perf_counter()

    async def ask(due: float) -> None:
        if not idle:
            made.append(Connection(port))
            idle.append(made[-1])
        connection = idle.pop()
        await tally.ask(connection, *questions.draw(draw), begin=due)
        idle.append(connection)

    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(ask(due))
    for connection in made:
        tally.leave(connection)
        await connection.close()


def soak(service: Service, questions: Questions, options: argparse.Namespace) -> Results:
    """A steady rate for long: memory must not grow."""
    tally = Tally()

    async def ask(served: Served) -> memory.Watch:
        await once(served.port, _FIRST)
        watch = memory.Watch(served.process.pid)
        watching = asyncio.create_task(watch.run(options.soak_seconds / _SAMPLES))
        await _steadily(served.port, questions, options.rate, options.soak_seconds, tally)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        return watch

    with service.running() as served:
        watch = asyncio.run(ask(served))
    resident, private = memory.summary(watch.resident), memory.summary(watch.private)
    return {
        "seconds": options.soak_seconds,
        "rate": options.rate,
        **tally.summary(),
        "resident_mib": resident,
        "private_mib": private,
        "faults": tally.faults()
        + refused_too_often(tally)
        + memory.faults("resident", resident)
        + memory.faults("private", private),
    }


def refused_too_often(tally: Tally) -> list[str]:
    """Whether the rate was more than the service could answer."""
    refused, requests = tally.statuses["429"], tally.statuses.total()
    if refused <= _MOST_REFUSED * requests:
        return []
    return [f"{refused} of {requests} requests were refused: this machine needs a lower --rate"]


async def _opened(connections: list[Connection]) -> int:
    """Open all at once; how many found nobody."""
    found = await asyncio.gather(*(one.open() for one in connections), return_exceptions=True)
    for one in found:
        if one is not None and not isinstance(one, OSError):
            raise one
    return sum(isinstance(one, Unreachable | OSError) for one in found)


async def _hold(port: int, questions: Questions, options: argparse.Namespace) -> Results:
    """Open all, let them be silent, let all ask at the same moment, and then each when it likes."""
    await once(port, _FIRST)
    tally, comebacks = Tally(), list[int]()
    connections = [Connection(port) for _ in range(options.connections)]
    begin = time.monotonic()
    missing = await _opened(connections)
    opened = time.monotonic() - begin
    await asyncio.sleep(options.silence)
    silent_cut = sum(one.is_cut for one in connections)
    asked = time.monotonic()

    def over() -> bool:
        return time.monotonic() > asked + _PATIENCE_SECONDS

    async def ask(connection: Connection, seed: int) -> int:
        draw, answered = random.Random(seed), 0
        for number in range(options.rounds):
            await asyncio.sleep(draw.uniform(0, _PAUSE_SECONDS) if number else 0)
            good, again = await tally.ask_again(connection, *questions.draw(draw), over)
            answered += good
            comebacks.append(again)
        return answered

    answered = sum(await asyncio.gather(*(ask(one, seed) for seed, one in enumerate(connections))))
    lasted = time.monotonic() - asked
    for one in connections:
        tally.leave(one)
        await one.close()
    cut = {"not_taken": missing, "cut_in_silence": silent_cut, "cut_between": tally.renewed}
    faults = tally.faults(GOOD | {"503"})
    faults += [f"{count} connections: {name}" for name, count in cut.items() if count]
    asked_for = options.connections * options.rounds
    if answered != asked_for:
        faults.append(f"{asked_for - answered} of {asked_for} questions got no answer")
    return {
        "connections": options.connections,
        "rounds": options.rounds,
        "open_seconds": opened,
        "silent_seconds": options.silence,
        "asking_seconds": lasted,
        **cut,
        "questions": asked_for,
        "answered": answered,
        "comebacks": dict(sorted(Counter(comebacks).items())),
        **tally.summary(),
        "faults": faults,
    }


def connections(service: Service, questions: Questions, options: argparse.Namespace) -> Results:
    """Many connections held open, and then all ask at once."""
    with service.running() as served:
        return asyncio.run(_hold(served.port, questions, options))


def restart(service: Service, questions: Questions, options: argparse.Namespace) -> Results:
    """The service is stopped while clients ask, and the next one started on its port."""
    tally, faults, handovers = Tally(), list[str](), list[Handover]()

    async def ask(served: Served) -> None:
        await once(served.port, _FIRST)
        over = asyncio.Event()
        asking = [
            asyncio.create_task(client(served.port, questions, over.is_set, seed, tally))
            for seed in range(options.clients)
        ]
        try:
            pauses = random.Random(0)
            for _ in range(options.restarts):
                await asyncio.sleep(options.between + pauses.random())
                handovers.append(await handed_over(service, faults))
            await asyncio.sleep(options.between)
        finally:
            over.set()
            await asyncio.gather(*asking)

    with service.running() as served:
        asyncio.run(ask(served))
    return {
        "clients": options.clients,
        "restarts": len(handovers),
        "seconds_of_each": [one.seconds() for one in handovers],
        **tally.summary(),
        "faults": tally.faults(GOOD | {"503"}) + faults,
    }


SCENARIOS: dict[str, Scenario] = {
    "clients": clients,
    "soak": soak,
    "connections": connections,
    "restart": restart,
}
