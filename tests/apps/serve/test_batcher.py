from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ulmfit.apps.serve.batcher import Batcher
from ulmfit.apps.serve.limits import Limits, Refused

Table = NDArray[np.float32]
LIMITS = Limits(batch_texts=8, batch_chars=1000)


class Lengths:
    """Answers with the length of each text; remembers the batches, and can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, texts: Sequence[str]) -> Table:
        self.batches.append(list(texts))
        assert self.go.wait(20)
        if "bad" in texts:
            raise ValueError("a bad text")
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


def run(work: Callable[[Batcher, Lengths], Awaitable[None]], limits: Limits = LIMITS) -> Lengths:
    predict = Lengths()

    async def main() -> None:
        batcher = Batcher(predict, limits)
        batcher.start()
        try:
            async with asyncio.timeout(20):
                await work(batcher, predict)
        finally:
            predict.go.set()
            await batcher.stop()
        assert (batcher.waiting_texts, batcher.waiting_chars) == (0, 0)

    asyncio.run(main())
    return predict


def first_column(table: Table) -> list[float]:
    return [float(value) for value in table[:, 0]]


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.001)


def test_those_who_come_together_are_predicted_together() -> None:
    async def work(batcher: Batcher, _: Lengths) -> None:
        found = await asyncio.gather(*(batcher.predict(["x" * n]) for n in range(5)))
        assert [first_column(table) for table in found] == [[0], [1], [2], [3], [4]]

    assert run(work).batches == [["", "x", "xx", "xxx", "xxxx"]]


def test_a_batch_has_bounds() -> None:
    async def work(batcher: Batcher, _: Lengths) -> None:
        texts = [["x" * 600], ["y" * 600], ["z"] * 20]
        found = await asyncio.gather(*map(batcher.predict, texts))
        assert [first_column(table) for table in found] == [[600], [600], [1] * 20]

    batches = run(work).batches
    assert max(map(len, batches)) <= 8
    assert batches[0] == ["x" * 600, "y" * 600]  # over 1,000 characters end it


def test_a_request_of_many_texts_holds_nobody_up() -> None:
    async def work(batcher: Batcher, predict: Lengths) -> None:
        predict.go.clear()
        many = asyncio.create_task(batcher.predict([f"many {n}" for n in range(100)]))
        await until(lambda: bool(predict.batches))
        one = asyncio.create_task(batcher.predict(["one"]))
        await asyncio.sleep(0.01)
        predict.go.set()
        assert first_column(await one) == [3]
        assert not many.done()
        assert first_column(await many) == [6.0] * 10 + [7.0] * 90

    assert ["one" in batch for batch in run(work).batches].index(True) <= 2


def test_too_much_waits() -> None:
    limits = replace(LIMITS, waiting_texts=10, waiting_chars=100)

    async def work(batcher: Batcher, predict: Lengths) -> None:
        predict.go.clear()
        waiting = [asyncio.create_task(batcher.predict(["x"] * 5)) for _ in range(2)]
        await until(lambda: batcher.waiting_texts == 10)
        with pytest.raises(Refused) as caught:
            await batcher.predict(["y"])
        assert caught.value.status == 429
        assert caught.value.problem == "the service is busy: 10 texts wait"
        assert caught.value.expected == "at most 10 waiting texts"
        assert int(caught.value.headers["Retry-After"]) >= 1
        predict.go.set()
        await asyncio.gather(*waiting)
        predict.go.clear()
        # to an idle service any size may come, else it never could
        large = asyncio.create_task(batcher.predict(["z" * 500]))
        await until(lambda: batcher.waiting_texts == 1)
        with pytest.raises(Refused) as caught:
            await batcher.predict(["y"])
        assert caught.value.expected == "at most 100 waiting characters"
        predict.go.set()
        assert first_column(await large) == [500]

    run(work, limits)


def test_one_batch_tells_how_slow_the_service_is() -> None:
    async def work(batcher: Batcher, predict: Lengths) -> None:
        predict.go.clear()
        first = asyncio.create_task(batcher.predict(["a" * 1000]))
        await until(lambda: len(predict.batches) == 1)
        await asyncio.sleep(0.5)
        predict.go.set()
        await first  # 1,000 characters in half a second, or a little more
        predict.go.clear()
        second = asyncio.create_task(batcher.predict(["a" * 1000]))
        await until(lambda: len(predict.batches) == 2)
        with pytest.raises(Refused) as caught:
            await batcher.predict(["a" * 4000])  # would take 2.5 s
        assert caught.value.status == 429
        assert caught.value.expected == "at most what takes 2 s (the limit `waiting_seconds`)"
        predict.go.set()
        await second

    run(work, replace(LIMITS, waiting_seconds=2.0))


@pytest.mark.parametrize("text", ["ok", ""])
def test_a_short_text_tells_nothing_of_the_speed(text: str) -> None:
    async def work(batcher: Batcher, predict: Lengths) -> None:
        predict.go.clear()
        first = asyncio.create_task(batcher.predict([text]))
        await until(lambda: len(predict.batches) == 1)
        await asyncio.sleep(0.2)  # overhead, as of a first call
        predict.go.set()
        await first
        found = await asyncio.gather(*(batcher.predict(["a" * 150]) for _ in range(5)))
        assert [first_column(table) for table in found] == [[150.0]] * 5

    run(work, replace(LIMITS, waiting_seconds=2.0))


def test_stopping_leaves_nobody_waiting() -> None:
    async def work(batcher: Batcher, predict: Lengths) -> None:
        predict.go.clear()
        taken = asyncio.create_task(batcher.predict(["taken"]))
        await until(lambda: len(predict.batches) == 1)
        queued = asyncio.create_task(batcher.predict(["queued"]))
        await until(lambda: batcher.waiting_texts == 2)
        threading.Timer(0.05, predict.go.set).start()
        await batcher.stop()
        found = await asyncio.gather(taken, queued, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in found)

    run(work)


def test_a_client_that_goes_away_takes_its_texts_along() -> None:
    async def work(batcher: Batcher, predict: Lengths) -> None:
        predict.go.clear()
        first = asyncio.create_task(batcher.predict(["first"]))
        await until(lambda: bool(predict.batches))
        gone = asyncio.create_task(batcher.predict(["gone"] * 50))
        stays = asyncio.create_task(batcher.predict(["stays"]))
        await until(lambda: batcher.waiting_texts == 52)
        gone.cancel()
        await until(lambda: batcher.waiting_texts == 2)
        first.cancel()  # while it is being computed
        predict.go.set()
        assert first_column(await stays) == [5]

    assert run(work).batches == [["first"], ["stays"]]


def test_one_bad_request_spoils_no_other() -> None:
    async def work(batcher: Batcher, _: Lengths) -> None:
        found = await asyncio.gather(
            *(batcher.predict(texts) for texts in (["a"], ["bad"], ["abc"])), return_exceptions=True
        )
        one, error, other = found
        assert isinstance(error, ValueError)
        assert not isinstance(one, BaseException)
        assert not isinstance(other, BaseException)
        assert (first_column(one), first_column(other)) == ([1], [3])

    run(work)


def test_the_end_cancels_who_still_waits() -> None:
    async def main() -> None:
        predict = Lengths()
        predict.go.clear()
        batcher = Batcher(predict, LIMITS)
        batcher.start()
        waiting = asyncio.create_task(batcher.predict(["x"]))
        await until(lambda: bool(predict.batches))
        more = asyncio.create_task(batcher.predict(["y"]))
        await asyncio.sleep(0.01)
        predict.go.set()
        await batcher.stop()
        assert (await asyncio.gather(more, return_exceptions=True))[0] is not None
        assert more.cancelled()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(main())


def test_batches_are_told() -> None:
    told: list[int] = []

    async def main() -> None:
        batcher = Batcher(Lengths(), LIMITS, lambda texts, seconds: told.append(texts))
        batcher.start()
        await asyncio.gather(batcher.predict(["a", "b"]), batcher.predict(["c"]))
        await batcher.stop()

    asyncio.run(main())
    assert told == [3]
