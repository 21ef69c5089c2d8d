"""Four kinds of load; each gives its figures, and under "faults" what must not have been."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.load import memory
from benchmarks.load.asking import Questions, Tally, client, crowd, wait_of
from benchmarks.load.connection import Answer, Connection, once
from benchmarks.load.serving import Served, Service

Results = dict[str, Any]
Scenario = Callable[[Service, Questions, argparse.Namespace], Results]

_FIRST = b'{"text": "wait until the model is there"}'
_SAMPLES = 120  # of memory, in a soak
_COMEBACKS = 100  # of a client that is told to, before it counts as not answered


def _beyond() -> dict[str, tuple[str, bytes]]:
    """Requests beyond the limits: status, name of the limit that must be said, and body."""
    return {
        "too many texts": ("422", json.dumps({"texts": ["a"] * 1_001}).encode()),
        "too long a text": ("422", json.dumps({"text": "a" * 500_001}).encode()),
        "too many bytes": ("413", json.dumps({"text": "a" * (4 << 20)}).encode()),
        "not JSON": ("422", b"{"),
    }


async def _refusals(port: int) -> tuple[dict[str, str], list[str]]:
    said, faults = {}, []
    for name, (status, body) in _beyond().items():
        answer = await once(port, body)
        said[name] = sentence(answer)
        if str(answer.status) != status:
            faults.append(f"{name}: {said[name]}")
    return said, faults


def sentence(answer: Answer) -> str:
    """A refusal in one line."""
    found = json.loads(answer.body)
    return f"{answer.status}: {found['error']}; {found['expected']}"


async def _too_many_at_once(port: int, requests: int) -> tuple[dict[str, str], list[str]]:
    """More requests at a time than are handled: what those beyond are told."""
    body = json.dumps({"texts": ["a few words more"] * 200}).encode()
    answers = await asyncio.gather(*(once(port, body) for _ in range(requests)))
    refused = [sentence(one) for one in answers if one.status == 429]
    others = Counter(str(one.status) for one in answers if one.status not in (200, 429))
    faults = [f"{count} requests at once ended with {status}" for status, count in others.items()]
    if not refused:
        return {}, [*faults, f"none of {requests} requests at once was told to come back"]
    return {"too many at once": refused[0]}, faults


def clients(service: Service, questions: Questions, options: argparse.Namespace) -> Results:
    """Clients that ask without a pause; then requests beyond the limits."""

    async def ask(port: int) -> tuple[Tally, dict[str, str], list[str]]:
        await once(port, _FIRST)
        tally = await crowd(port, questions, options.clients, options.seconds)
        said, faults = await _refusals(port)
        busy, more = await _too_many_at_once(port, options.at_once)
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
    """A request every 1/rate seconds, whether or not the ones before are answered."""
    draw, tasks = random.Random(0), set[asyncio.Task[None]]()
    connections = list[Connection]()

    async def ask() -> None:
        connection = connections.pop() if connections else Connection(port)
        await tally.ask(connection, *questions.draw(draw))
        connections.append(connection)

    begin = time.monotonic()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
        task = asyncio.create_task(ask())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    for connection in connections:
        tally.leave(connection)
        await connection.close()


def soak(service: Service, questions: Questions, options: argparse.Namespace) -> Results:
    """A steady rate for long: memory must not grow."""
    tally, samples = Tally(), list[tuple[float, float]]()

    async def ask(served: Served) -> None:
        await once(served.port, _FIRST)
        every = options.soak_seconds / _SAMPLES
        watching = asyncio.create_task(memory.watch(served.process.pid, every, samples))
        await _steadily(served.port, questions, options.rate, options.soak_seconds, tally)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    with service.running() as served:
        asyncio.run(ask(served))
    late = memory.after_warm_up(samples)
    most = memory.MOST_GROWTH * late[0][1]
    faults = tally.faults()
    if memory.grown(late) > most:
        faults.append(f"memory grew by {memory.grown(late):.1f} MiB, more than {most:.1f}")
    return {
        "seconds": options.soak_seconds,
        "rate": options.rate,
        **tally.summary(),
        "memory_mib": {
            "after_warm_up": late[0][1],
            "end": late[-1][1],
            "least": min(mib for _, mib in late),
            "most": max(mib for _, mib in late),
            "slope_per_minute": 60 * memory.slope(late),
            "grown": memory.grown(late),
            "may_grow": most,
            "every_fifth_sample": [round(mib, 1) for _, mib in samples[::5]],
        },
        "faults": faults,
    }


async def _hold(port: int, questions: Questions, options: argparse.Namespace) -> Results:
    """Open all, let them be silent, then let all ask at the same moment."""
    await once(port, _FIRST)
    tally = Tally()
    connections = [Connection(port) for _ in range(options.connections)]
    begin = time.monotonic()
    await asyncio.gather(*(one.open() for one in connections))
    opened = time.monotonic() - begin
    await asyncio.sleep(options.silence)
    cut = sum(one.is_cut for one in connections)
    comebacks = Counter[int]()

    async def ask(connection: Connection, seed: int) -> None:
        body, expected = questions.draw(random.Random(seed))
        for comeback in range(_COMEBACKS):
            answer = await tally.ask(connection, body, expected)
            if answer is None or answer.status != 429:
                comebacks[comeback] += answer is not None and answer.status == 200
                return
            await asyncio.sleep(wait_of(answer))

    await asyncio.gather(*(ask(one, seed) for seed, one in enumerate(connections)))
    for one in connections:
        tally.leave(one)
        await one.close()
    answered = sum(comebacks.values())
    faults = tally.faults()
    if cut or tally.refused:
        faults.append(f"{cut} silent connections were cut, {tally.refused} were not taken")
    if answered != options.connections:
        faults.append(f"{options.connections - answered} clients got no answer")
    return {
        "connections": options.connections,
        "open_seconds": opened,
        "silent_seconds": options.silence,
        "cut": cut,
        "answered": answered,
        "answered_at_first": comebacks[0],
        "most_comebacks": max(comebacks, default=0),
        **tally.summary(),
        "faults": faults,
    }


def connections(service: Service, questions: Questions, options: argparse.Namespace) -> Results:
    """Many connections held open, and then all ask at once."""
    with service.running() as served:
        return asyncio.run(_hold(served.port, questions, options))


def restart(service: Service, questions: Questions, options: argparse.Namespace) -> Results:
    """The service is stopped while clients ask, and the next one started on its port."""
    tally, faults = Tally(), list[str]()
    handovers = list[dict[str, float]]()

    async def change(old: Served) -> Served:
        begin = time.monotonic()
        old.stop()
        starting = asyncio.create_task(asyncio.to_thread(service.start, old.port))
        code = await asyncio.to_thread(old.ended)
        drained = time.monotonic() - begin
        new = await starting
        handovers.append({"drained": drained, "ready": time.monotonic() - begin})
        if code:
            faults.append(f"the old service ended with exit code {code}")
        faults.extend(f"the old service said: {line}" for line in said_badly(old))
        return new

    async def changes(served: Served) -> Served:
        draw = random.Random(0)
        for _ in range(options.restarts):
            await asyncio.sleep(options.between + draw.random())
            served = await change(served)
        return served

    async def ask(served: Served) -> Served:
        await once(served.port, _FIRST)
        over = asyncio.Event()
        asking = [
            asyncio.create_task(client(served.port, questions, over.is_set, seed, tally))
            for seed in range(options.clients)
        ]
        try:
            served = await changes(served)
            await asyncio.sleep(options.between)
        finally:
            over.set()
            await asyncio.gather(*asking)
        return served

    served = service.start()
    served = asyncio.run(ask(served))
    served.stop()
    served.ended()
    return {
        "clients": options.clients,
        "restarts": len(handovers),
        "seconds_of_each": handovers,
        **tally.summary(),
        "faults": tally.faults() + faults,
    }


def said_badly(served: Served) -> list[str]:
    """Lines of a service that ended which tell of something broken."""
    return [line.strip() for line in served.said if "Traceback" in line or "ERROR" in line]


SCENARIOS: dict[str, Scenario] = {
    "clients": clients,
    "soak": soak,
    "connections": connections,
    "restart": restart,
}
