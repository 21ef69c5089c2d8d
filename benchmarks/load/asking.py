"""What clients ask, and what they note: every answer is compared with the model's own."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.load.connection import Answer, Connection, Unreachable

MOST_TEXTS = 8  # of one request
TOLERANCE = 1e-5  # of a probability; what the service promises
GOOD = {"200", "429"}
_LOOK_SECONDS = 0.1  # at whether it is over


@dataclass(frozen=True)
class Questions:
    """Texts, and the probabilities that the model gives them, (N, C)."""

    texts: Sequence[str]
    expected: NDArray[np.float32]

    def draw(self, draw: random.Random) -> tuple[bytes, NDArray[np.float32]]:
        """A request of one to eight texts, and what must come back."""
        rows = [draw.randrange(len(self.texts)) for _ in range(draw.randint(1, MOST_TEXTS))]
        body = json.dumps({"texts": [self.texts[row] for row in rows]}).encode()
        return body, self.expected[rows]


@dataclass
class Tally:
    """What the clients have seen.

    Attributes:
        statuses: how often each came; for a connection that was cut its error.
        seconds: from asking to the whole answer, of those that came.
        texts: labelled.
        worst: greatest distance of a probability from the model's own.
        refused: connections that nobody took; tried again, as nothing was sent.
        renewed: connections that the service had ended between two requests.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    texts: int = 0
    worst: float = 0.0
    refused: int = 0
    renewed: int = 0

    async def ask(
        self, connection: Connection, body: bytes, expected: NDArray[np.float32]
    ) -> Answer | None:
        """Ask and note; None where there was no whole answer."""
        begin = time.perf_counter()
        try:
            answer = await connection.ask("/predict", body)
        except (OSError, EOFError) as error:  # a time that is over is an OSError
            self.statuses[type(error).__name__] += 1
            await connection.close()
            return None
        self.seconds.append(time.perf_counter() - begin)
        self.statuses[str(answer.status)] += 1
        if answer.status == 200:
            self.texts += len(expected)
            self.worst = max(self.worst, distance(answer.body, expected))
        return answer

    def leave(self, connection: Connection) -> None:
        """Note what a connection has gone through."""
        self.refused += connection.refused
        self.renewed += connection.renewed

    def summary(self) -> dict[str, Any]:
        """For the results file; times in milliseconds."""
        found = sorted(self.seconds) or [float("nan")]
        return {
            "requests": sum(self.statuses.values()),
            "statuses": dict(sorted(self.statuses.items())),
            "texts": self.texts,
            "worst_difference": self.worst,
            "p50_ms": 1000 * found[len(found) // 2],
            "p99_ms": 1000 * found[int(0.99 * (len(found) - 1))],
            "max_ms": 1000 * found[-1],
            "refused_connections": self.refused,
            "renewed_connections": self.renewed,
        }

    def faults(self, allowed: set[str] = GOOD) -> list[str]:
        """What must not be."""
        found = [
            f"{count} requests ended with {status}"
            for status, count in sorted(self.statuses.items())
            if status not in allowed
        ]
        if not self.statuses["200"]:
            found.append("nothing was answered")
        if not self.worst <= TOLERANCE:
            found.append(f"an answer is {self.worst:.2g} off, more than {TOLERANCE:g}")
        return found


def distance(answer: bytes, expected: NDArray[np.float32]) -> float:
    """Greatest difference of a probability."""
    predictions = json.loads(answer)["predictions"]
    table = np.array([list(one["probabilities"].values()) for one in predictions])
    return float(np.abs(table - expected).max()) if table.shape == expected.shape else float("inf")


async def client(
    port: int, questions: Questions, over: Callable[[], bool], seed: int, tally: Tally
) -> None:
    """Ask without a pause until it is over; who is told to come back (429) does so."""
    draw, connection = random.Random(seed), Connection(port)
    try:
        while not over():
            answer = await tally.ask(connection, *questions.draw(draw))
            if answer is not None and answer.status == 429:
                end = time.monotonic() + wait_of(answer)
                while time.monotonic() < end and not over():
                    await asyncio.sleep(_LOOK_SECONDS)
    except Unreachable:
        tally.statuses["Unreachable"] += 1
    finally:
        tally.leave(connection)
        await connection.close()


def wait_of(answer: Answer) -> float:
    """Seconds after which to come back."""
    return float(answer.headers["retry-after"])


async def crowd(port: int, questions: Questions, clients: int, seconds: float) -> Tally:
    """All clients at once."""
    tally, end = Tally(), time.monotonic() + seconds

    def over() -> bool:
        return time.monotonic() >= end

    await asyncio.gather(*(client(port, questions, over, seed, tally) for seed in range(clients)))
    return tally
