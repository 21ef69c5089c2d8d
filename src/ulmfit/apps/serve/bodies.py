"""Requests come in bounded: in number, in bytes and in time; and end when their client goes."""

from __future__ import annotations

import asyncio

from ulmfit.apps.serve.asgi import App, Message, Receive, Scope, Send, header, send_refusal
from ulmfit.apps.serve.limits import Limits, Refused, overloaded


class ClientGone(ConnectionError):
    """Nobody waits for the answer any more."""


class Bounded:
    """Reads the body of a request before the application sees it.

    An application whose client goes away is cancelled, so that what still waits is not computed.

    Args:
        app: gets the whole body at once.
        limits: see `Limits`.
    """

    def __init__(self, app: App, limits: Limits) -> None:
        self._app, self._limits = app, limits
        self._busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        if self._busy >= self._limits.requests:
            busy = overloaded(f"{self._busy} requests", f"{self._limits.requests} at a time", 1.0)
            await send_refusal(send, busy)
            return
        self._busy += 1
        try:
            await self._handle(scope, receive, send)
        finally:
            self._busy -= 1

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                body = await self._body(scope, receive)
        except Refused as refused:
            await send_refusal(send, refused)
            return
        except TimeoutError:
            await send_refusal(send, self._too_slow())
            return
        task = asyncio.ensure_future(self._app(scope, _replayed(body), send))
        watch = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
            gone = not task.done()
        finally:
            watch.cancel()
            task.cancel()  # nothing, where it is done
            await asyncio.gather(task, watch, return_exceptions=True)
        if gone:
            raise ClientGone
        task.result()

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        self._require_size(_announced(scope))
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self._require_size(size)
            if not message.get("more_body", False):
                return b"".join(parts)

    def _require_size(self, size: int) -> None:
        if size > self._limits.body_bytes:
            raise Refused(
                413,
                f"the request's body has {size:,} bytes or more",
                f"at most {self._limits.body_bytes:,} bytes (the limit `body_bytes`)",
                "Send the texts in several requests.",
            )

    def _too_slow(self) -> Refused:
        return Refused(
            408,
            "the request's body did not arrive in time",
            f"all of it within {self._limits.body_seconds:g} s (the limit `body_seconds`)",
            headers={"Connection": "close"},
        )


def _announced(scope: Scope) -> int:
    """Bytes that the request says it has, 0 if it does not say."""
    value = header(scope, b"content-length") or b"0"
    return int(value) if value.isdigit() else 0


def _replayed(body: bytes) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()  # whoever goes away cancels all of this
        raise AssertionError("nobody sets the event")

    return receive


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
