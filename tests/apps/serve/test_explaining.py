from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from tests.apps.serve.conftest import Occlusion
from ulmfit.apps.serve.explaining import ExplainQueue
from ulmfit.apps.serve.limits import Limits, Refused


def test_one_at_a_time_and_few_wait() -> None:
    go = threading.Event()

    def explain(text: str, label: str | None) -> Occlusion:
        assert go.wait(20)
        return Occlusion(text, label or "first", 0.5, 1.0, 0.0, ())

    async def main() -> None:
        queue = ExplainQueue(explain, replace(Limits(), explaining=2))
        tasks = [asyncio.create_task(queue.explain("a", label)) for label in (None, "other")]
        await asyncio.sleep(0.01)
        with pytest.raises(Refused) as caught:
            await queue.explain("c", None)
        assert caught.value.status == 429
        assert caught.value.problem == "the service is busy: 2 explanations wait"
        assert caught.value.headers["Retry-After"]
        tasks[1].cancel()  # a client that goes away makes room
        await asyncio.sleep(0.01)
        again = asyncio.create_task(queue.explain("d", "third"))
        go.set()
        assert [(await task).label for task in (tasks[0], again)] == ["first", "third"]
        queue.stop()

    asyncio.run(main())
