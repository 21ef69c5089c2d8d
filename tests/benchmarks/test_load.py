"""The load's own judgement: services that misbehave are found out.

Each stands in for a broken service, behind a real socket; a whole one is in
tests/apps/serve/test_server_load.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from benchmarks.load import beyond, memory
from benchmarks.load.asking import Questions, Tally, crowd
from benchmarks.load.connection import Connection
from benchmarks.load.scenarios import refused_too_often

QUESTIONS = Questions(["a text"], np.array([[0.25, 0.75]], np.float32))
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def request(reader: asyncio.StreamReader) -> int:
    """Reads one; the number of its texts."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    size = int(head.partition("content-length: ")[2].split("\r\n")[0])
    return len(json.loads(await reader.readexactly(size))["texts"])


def reply(status: int, document: object, *headers: str) -> bytes:
    body = json.dumps(document).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def right(texts: int, first: float = 0.25) -> bytes:
    probabilities = {"glad": first, "sad": 0.75}
    return reply(200, {"predictions": [{"probabilities": probabilities}] * texts})


def seen(answers: Callable[[int, int], bytes], clients: int = 2) -> Tally:
    """What clients note of a service; `answers` gets number of the request and of its texts.

    A connection is cut after an answer that is not whole.
    """

    async def load() -> Tally:
        count = 0

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            try:
                while True:
                    texts = await request(reader)
                    count += 1
                    said = answers(count, texts)
                    writer.write(said)
                    await asyncio.sleep(0.005)
                    if not said.endswith(b"}"):
                        return
            except asyncio.IncompleteReadError:
                return
            finally:
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            return await crowd(server.sockets[0].getsockname()[1], QUESTIONS, clients, 0.3)

    return asyncio.run(load())


def test_a_service_without_faults_has_none() -> None:
    tally = seen(lambda number, texts: right(texts))
    assert tally.faults() == []
    found = tally.summary()
    assert found["sent_whole"] == found["answered_whole"] == found["requests"] > 2
    assert (found["lost"], found["worst_difference"]) == (0, 0)


def test_an_answer_that_is_cut_is_a_lost_request() -> None:
    tally = seen(lambda number, texts: right(texts)[:-7] if number == 3 else right(texts))
    assert tally.faults() == [
        "1 requests ended with IncompleteReadError",
        "1 requests were sent whole and not answered",
    ]


def test_a_connection_that_is_cut_before_the_answer_is_a_lost_request() -> None:
    tally = seen(lambda number, texts: b"" if number == 3 else right(texts))
    assert tally.lost == 1
    assert tally.faults()[1] == "1 requests were sent whole and not answered"


def test_an_error_of_the_server_is_a_fault() -> None:
    tally = seen(lambda number, texts: reply(500, {}) if number == 2 else right(texts))
    assert tally.faults() == ["1 requests ended with 500"]


def test_an_answer_that_is_off_is_a_fault() -> None:
    tally = seen(lambda number, texts: right(texts, 0.25002 if number == 2 else 0.25))
    assert tally.faults() == ["an answer is 2e-05 off, more than 1e-05"]
    assert seen(lambda number, texts: right(texts, 0.250005)).faults() == []


def test_an_answer_to_another_number_of_texts_is_a_fault() -> None:
    tally = seen(lambda number, texts: right(texts + 1))
    assert tally.faults() == ["an answer is inf off, more than 1e-05"]


def test_who_says_come_back_must_say_when() -> None:
    def undated(number: int, texts: int) -> bytes:
        return reply(429, {}) if number == 2 else right(texts)

    def dated(number: int, texts: int) -> bytes:
        return reply(503, {}, "Retry-After: 0") if number == 2 else right(texts)

    assert seen(undated).faults() == ["1 clients were told to come back, and not when"]
    assert seen(dated).faults({"200", "503"}) == []
    assert seen(dated).faults() == ["1 requests ended with 503"]


def test_a_service_that_answers_nobody() -> None:
    assert "nothing was answered" in seen(lambda number, texts: reply(500, {})).faults()


def test_a_connection_that_ended_between_requests_is_renewed() -> None:
    async def ask() -> Tally:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(right(await request(reader)))
            writer.close()  # without having said so

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        tally = Tally()
        async with server:
            connection = Connection(server.sockets[0].getsockname()[1])
            for _ in range(3):
                body = json.dumps({"texts": ["a text"]}).encode()
                await tally.ask(connection, body, QUESTIONS.expected)
                await asyncio.sleep(0.05)  # until the end of the connection has come
            tally.leave(connection)
            await connection.close()
        return tally

    tally = asyncio.run(ask())
    assert tally.faults() == []
    assert tally.renewed == 2


@pytest.mark.parametrize("limit", ["", "at most 7"])
def test_a_refusal_must_say_the_limit(limit: str) -> None:
    async def ask() -> tuple[beyond.Said, beyond.Said]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.partition("content-length: ")[2].split("\r\n")[0]))
            refusal = {"error": "no", "expected": limit}
            writer.write(reply(429, refusal, "Connection: close"))
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=8 << 20)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await beyond.each_limit(port), await beyond.too_many_at_once(port, 3)

    (_, faults), (_, more) = asyncio.run(ask())
    assert len(faults) == 4  # the status is wrong as well
    assert more == ([] if limit else ["too many at once: 429: no; "])


def test_memory_that_grows_is_seen() -> None:
    flat = [(float(second), 500.0 + second % 3) for second in range(100)]
    leaking = [(second, mib + 0.1 * second) for second, mib in flat]
    assert abs(memory.slope(flat)) < 0.002
    assert memory.slope(leaking) == pytest.approx(0.1, abs=0.002)
    assert memory.grown(memory.after_warm_up(leaking)) == pytest.approx(7.9, abs=0.2)
    warming = [(second, mib + max(0.0, 10.0 - second)) for second, mib in flat]
    assert memory.faults("resident", memory.summary(warming)) == []
    assert memory.faults("resident", memory.summary(leaking)) == [
        "resident memory grew by 7.9 MiB, more than 5.0"
    ]


def test_a_rate_that_is_too_high_is_no_soak() -> None:
    tally = Tally()
    tally.statuses.update({"200": 99, "429": 1})
    assert refused_too_often(tally) == []
    tally.statuses["429"] += 1
    assert refused_too_often(tally) == [
        "2 of 101 requests were refused: this machine needs a lower --rate"
    ]


def test_memory_of_a_family_of_processes() -> None:
    async def watched() -> memory.Watch:
        process = await asyncio.create_subprocess_exec("sh", "-c", "sleep 5 & wait")
        watch = memory.Watch(process.pid)
        watching = asyncio.create_task(watch.run(0.05))
        await asyncio.sleep(0.3)
        assert len(memory.family(process.pid)) == 2
        watching.cancel()
        for pid in reversed(memory.family(process.pid)):
            os.kill(pid, signal.SIGKILL)
        await process.wait()
        return watch

    watch = asyncio.run(watched())
    assert len(watch.resident) > 2
    assert 0 < watch.private[-1][1] < watch.resident[-1][1] < 50
