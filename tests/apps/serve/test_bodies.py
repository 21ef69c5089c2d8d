from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ulmfit.apps.serve.asgi import Message, Receive, Scope, Send
from ulmfit.apps.serve.bodies import Bounded, ClientGone
from ulmfit.apps.serve.limits import Limits

LIMITS = Limits(body_bytes=10, requests=2, body_seconds=0.2)
END = {"type": "http.disconnect"}


def part(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


class Client:
    """Sends messages, then nothing more until it goes away."""

    def __init__(self, *messages: Message, method: str = "POST", length: int | None = None) -> None:
        self.messages = list(messages)
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        headers = [] if length is None else [(b"content-length", str(length).encode())]
        self.scope: dict[str, Any] = {"type": "http", "method": method, "headers": headers}

    async def receive(self) -> Message:
        if self.messages:
            return self.messages.pop(0)
        await self.gone.wait()
        return END

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await work()

    asyncio.run(main())


async def handle(app: Bounded, client: Client) -> Client:
    await app(client.scope, client.receive, client.send)
    return client


def test_parts_become_one_body() -> None:
    async def work() -> None:
        client = await handle(
            Bounded(echo, LIMITS), Client(part(b"12345", more=True), part(b"67890"))
        )
        assert (client.status, client.sent[1]["body"]) == (200, b"1234567890")

    run(work)


def test_too_many_bytes() -> None:
    async def work() -> None:
        announced = await handle(Bounded(echo, LIMITS), Client(length=11))
        assert announced.status == 413
        assert b"the request's body has 11 bytes or more" in announced.sent[1]["body"]
        assert b"at most 10 bytes (the limit `body_bytes`)" in announced.sent[1]["body"]
        endless = Client(*[part(b"1234", more=True)] * 99)
        assert (await handle(Bounded(echo, LIMITS), endless)).status == 413
        assert len(endless.messages) == 96  # the rest was never read

    run(work)


def test_a_body_that_does_not_come() -> None:
    async def work() -> None:
        client = await handle(Bounded(echo, LIMITS), Client(part(b"1", more=True)))
        assert client.status == 408
        assert b"within 0.2 s (the limit `body_seconds`)" in client.sent[1]["body"]

    run(work)


def test_too_many_requests_at_a_time() -> None:
    async def work() -> None:
        go = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await go.wait()
            await echo(scope, receive, send)

        app = Bounded(slow, LIMITS)
        tasks = [asyncio.create_task(handle(app, Client(part(b"a")))) for _ in range(2)]
        await asyncio.sleep(0.01)
        refused = await handle(app, Client(part(b"b")))
        assert refused.status == 429
        assert (b"retry-after", b"1") in refused.sent[0]["headers"]
        assert (await handle(Bounded(echo, LIMITS), Client(part(b""), method="GET"))).status == 200
        go.set()
        assert [(await task).status for task in tasks] == [200, 200]
        assert (await handle(app, Client(part(b"c")))).status == 200

    run(work)


def test_a_client_that_goes_away() -> None:
    cancelled: list[bool] = []

    async def work() -> None:
        async def endless(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        app = Bounded(endless, LIMITS)
        for messages in ([part(b"a")], [part(b"a", more=True)]):
            client = Client(*messages)
            client.gone.set()
            with pytest.raises(ClientGone):
                await handle(app, client)
            assert client.sent == []
        assert (await handle(Bounded(echo, LIMITS), Client(part(b"a")))).status == 200

    run(work)
    assert cancelled == [True]


def test_an_error_of_the_application_comes_out() -> None:
    async def work() -> None:
        async def broken(scope: Scope, receive: Receive, send: Send) -> None:
            raise KeyError("x")

        with pytest.raises(KeyError):
            await handle(Bounded(broken, LIMITS), Client(part(b"a")))

    run(work)
