"""Micro-batching: texts of requests that wait at the same time are predicted together.

While a batch is computed, the next one gathers: under load the batches grow by themselves, and a
request that comes alone waits for nobody but for a moment in which others may arrive. A request
of many texts gives them in parts, in turns with the others, so that it holds nobody up.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ulmfit.apps.serve.limits import Limits, overloaded

Probabilities = NDArray[np.float32]
Predict = Callable[[Sequence[str]], Probabilities]

GATHER_SECONDS = 0.002  # after a time of nothing to do: those who come together go together
_SHARE = 32  # texts of one request in a row, while others wait
_SMOOTHING = 0.2  # weight of the last batch in the speed
_FIRST_SPEED = 10_000.0  # characters per second, until a batch was timed
_LEAST_CHARS = 1_000  # a batch of fewer is mostly overhead: its time says nothing of speed


@dataclass(eq=False)
class _Job:
    """One request."""

    texts: Sequence[str]
    future: asyncio.Future[Probabilities]
    parts: list[tuple[int, Probabilities]] = field(default_factory=list)
    taken: int = 0
    answered: int = 0

    @property
    def over(self) -> bool:
        return self.future.done()


Part = tuple[_Job, int, int]  # texts from, and up to, of a job


class Batcher:
    """Predicts for many who ask at once; `start` and `stop` it in the loop that asks.

    Args:
        predict: texts to probabilities, (N, C); called in one thread of its own.
        limits: of batches and of what may wait.
        observe: is told the number of texts and the seconds of each batch.
    """

    def __init__(
        self,
        predict: Predict,
        limits: Limits,
        observe: Callable[[int, float], None] = lambda texts, seconds: None,
    ) -> None:
        self._predict, self._limits, self._observe = predict, limits, observe
        self._jobs: deque[_Job] = deque()  # whose texts are not all taken
        self._open: set[_Job] = set()  # that are not answered
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._task: asyncio.Task[None] | None = None
        self._speed = _FIRST_SPEED
        self._timed = False
        self.waiting_texts = 0
        self.waiting_chars = 0

    def start(self) -> None:
        """Begin to answer."""
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Finish the batch that is being computed, and end; whoever still waits is cancelled."""
        for job in self._open:
            job.future.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown()

    async def predict(self, texts: Sequence[str]) -> Probabilities:
        """Probabilities, (N, C): those that `predict` gives to these texts alone.

        Raises:
            Refused: 429, too much is waiting.
        """
        chars = sum(map(len, texts))
        self._require_room(len(texts), chars)
        job = _Job(texts, asyncio.get_running_loop().create_future())
        self._count(len(texts), chars)
        self._jobs.append(job)
        self._open.add(job)
        self._arrived.set()
        try:
            return await job.future
        finally:  # also when the client has gone away
            self._open.discard(job)
            self._count(-len(texts), -chars)

    def _count(self, texts: int, chars: int) -> None:
        self.waiting_texts += texts
        self.waiting_chars += chars

    def _require_room(self, texts: int, chars: int) -> None:
        """A request to an idle service always has room, whatever its size."""
        limits, waiting = self._limits, self.waiting_texts
        if waiting and waiting + texts > limits.waiting_texts:
            what, limit = f"{waiting:,} texts wait", f"{limits.waiting_texts:,} waiting texts"
        elif waiting and self.waiting_chars + chars > limits.waiting_chars:
            what = f"texts of {self.waiting_chars:,} characters wait"
            limit = f"{limits.waiting_chars:,} waiting characters"
        elif waiting and (self.waiting_chars + chars) / self._speed > limits.waiting_seconds:
            what = f"texts of {self.waiting_chars:,} characters wait"
            limit = f"what takes {limits.waiting_seconds:g} s (the limit `waiting_seconds`)"
        else:
            return
        raise overloaded(what, limit, self.waiting_chars / self._speed)

    async def _work(self) -> None:
        while True:
            if not self._jobs:
                self._arrived.clear()
                await self._arrived.wait()
                await asyncio.sleep(GATHER_SECONDS)
            parts = self._take()
            if parts:
                await self._answer(parts)

    def _take(self) -> list[Part]:
        """The next batch: a share of each request in turn, as long as there is room."""
        parts: list[Part] = []
        texts = chars = 0
        while self._jobs and texts < self._limits.batch_texts and chars < self._limits.batch_chars:
            job = self._jobs.popleft()
            if job.over:
                continue
            room = min(_SHARE, self._limits.batch_texts - texts)
            start = stop = job.taken
            while stop < len(job.texts) and stop - start < room:
                chars += len(job.texts[stop])
                stop += 1
                if chars >= self._limits.batch_chars:
                    break
            job.taken = stop
            texts += stop - start
            parts.append((job, start, stop))
            if stop < len(job.texts):
                self._jobs.append(job)
        return parts

    async def _answer(self, parts: list[Part]) -> None:
        texts = [text for job, start, stop in parts for text in job.texts[start:stop]]
        loop, begin = asyncio.get_running_loop(), time.perf_counter()
        try:
            found = await loop.run_in_executor(self._thread, self._predict, texts)
        except Exception as error:
            await self._blame(parts, error)
            return
        seconds = time.perf_counter() - begin
        self._observe(len(texts), seconds)
        self._note_speed(max(_LEAST_CHARS, sum(map(len, texts))) / max(seconds, 1e-6))
        row = 0
        for job, start, stop in parts:
            _give(job, start, found[row : row + stop - start])
            row += stop - start

    def _note_speed(self, speed: float) -> None:
        """The first one counts whole: with a guess in it, a slow service would accept too much."""
        self._speed += (_SMOOTHING if self._timed else 1.0) * (speed - self._speed)
        self._timed = True

    async def _blame(self, parts: list[Part], error: Exception) -> None:
        """One request must not spoil the others' answers: each is tried alone."""
        if len(parts) > 1:
            for part in parts:
                if not part[0].over:
                    await self._answer([part])
        elif not parts[0][0].over:
            parts[0][0].future.set_exception(error)


def _give(job: _Job, start: int, rows: Probabilities) -> None:
    if job.over:
        return
    job.parts.append((start, rows))
    job.answered += len(rows)
    if job.answered == len(job.texts):
        job.parts.sort(key=lambda part: part[0])
        job.future.set_result(np.concatenate([rows for _, rows in job.parts]))
