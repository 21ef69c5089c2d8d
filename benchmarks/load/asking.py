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

from benchmarks.load.connection import Answer, Connection

MOST_TEXTS = 8  # of one request
TOLERANCE = 1e-5  # of a probability; what the service promises
GOOD = {"200", "429"}
COME_BACK = (429, 503)  # with a Retry-After that says when
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
        statuses: how often each came; where none did, the error.
        seconds: from asking to the whole answer, of those that came.
        sent: requests that went out to the last byte.
        undated: answers that said "come back" and not when.
        texts: labelled.
        worst: greatest distance of a probability from the model's own.
        refused: connections that nobody took; tried again, as nothing was sent.
        renewed: connections that the service had ended between two requests.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    texts: int = 0
    worst: float = 0.0
    sent: int = 0
    undated: int = 0
    refused: int = 0
    renewed: int = 0

    async def ask(
        self,
        connection: Connection,
        body: bytes,
        expected: NDArray[np.float32],
        begin: float | None = None,
    ) -> Answer | None:
        """Ask and note; None where there was no whole answer.

        Args:
            connection: to the service.
            body: of the request.
            expected: probabilities that must come back.
            begin: when it should have been asked, of `time.perf_counter`; now, if not given.
        """
        begin = time.perf_counter() if begin is None else begin
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
        self.undated += answer.status in COME_BACK and "retry-after" not in answer.headers
        return answer

    async def ask_again(
        self,
        connection: Connection,
        body: bytes,
        expected: NDArray[np.float32],
        over: Callable[[], bool],
    ) -> tuple[bool, int]:
        """Ask, and come back when told to, until there is an answer or it is over.

        Returns:
            Whether it was answered (200), and how often the client came back.
        """
        comebacks = 0
        while True:
            answer = await self.ask(connection, body, expected)
            if answer is None or answer.status not in COME_BACK:
                return answer is not None and answer.status == 200, comebacks
            end = time.monotonic() + wait_of(answer)
            while time.monotonic() < end and not over():
                await asyncio.sleep(_LOOK_SECONDS)
            if over():
                return False, comebacks
            comebacks += 1

    def leave(self, connection: Connection) -> None:
        """Note what a connection has gone through."""
        self.refused += connection.refused
        self.renewed += connection.renewed
        self.sent += connection.sent

    @property
    def lost(self) -> int:
        """Requests that went out whole and have no whole answer; once all clients have left."""
        return self.sent - len(self.seconds)

    def summary(self) -> dict[str, Any]:
        """For the results file; times in milliseconds."""
        found = sorted(self.seconds) or [float("nan")]
        return {
            "requests": sum(self.statuses.values()),
            "sent_whole": self.sent,
            "answered_whole": len(self.seconds),
            "lost": self.lost,
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
        if self.lost:
            found.append(f"{self.lost} requests were sent whole and not answered")
        if self.undated:
            found.append(f"{self.undated} clients were told to come back, and not when")
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
    """Ask without a pause until it is over; who is told to come back does so."""
    draw, connection = random.Random(seed), Connection(port)
    while not over():
        await tally.ask_again(connection, *questions.draw(draw), over)
    tally.leave(connection)
    await connection.close()


def wait_of(answer: Answer) -> float:
    """Seconds after which to come back; where it was not said, which is a fault, one."""
    return float(answer.headers.get("retry-after", 1))


async def crowd(port: int, questions: Questions, clients: int, seconds: float) -> Tally:
    """All clients at once."""
    tally, end = Tally(), time.monotonic() + seconds

    def over() -> bool:
        return time.monotonic() >= end

    await asyncio.gather(*(client(port, questions, over, seed, tally) for seed in range(clients)))
    return tally
