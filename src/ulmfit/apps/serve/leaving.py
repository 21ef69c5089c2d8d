"""The end of a server under load: every request that it was given gets its answer.

uvicorn alone closes at once what seems idle, and with it requests that are on their way: those of
connections that the system made and nobody took yet, and those on a connection that is kept open.
Here the system is told first to make no more connections, those it has made are taken, each answer
says that its connection ends with it, and only what stays silent for a moment is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import resource
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

from ulmfit.apps.serve.asgi import App, Message, Receive, Scope, Send
from ulmfit.apps.serve.watching import log

if TYPE_CHECKING:
    from uvicorn import Config, Server

LINGER_SECONDS = 1.0  # for a request that was on its way: a round trip around the earth, twice
_TAKING_SECONDS = 0.05  # the loop takes all connections that wait in one turn; this is several
_STEP_SECONDS = 0.02
_COMPLAINT_SECONDS = 60.0  # between complaints of the same kind

_SO_ATTACH_FILTER = 26  # of Linux; the module `socket` has no name for it
_DROP = struct.pack("@HBBI", 0x06, 0, 0, 0)  # a filter of one instruction: keep 0 bytes


class Leaving:
    """Says on every answer, once `begun` is set, that the connection ends with it.

    Args:
        app: all the rest.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def send_last(message: Message) -> None:
            if self.begun and message["type"] == "http.response.start":
                others = (pair for pair in message.get("headers", []) if pair[0] != b"connection")
                message["headers"] = [*others, (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, send_last)


def leaving_server(config: Config, leaving: Leaving) -> Server:
    """A server that ends as this module says; what it was given it finishes as uvicorn does.

    Args:
        config: its application is `leaving`.
        leaving: is told when the end begins.
    """
    from uvicorn import Server  # of an extra, so that only who serves needs it

    class LeavingServer(Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            asyncio.get_running_loop().set_exception_handler(_Complaints())
            await super().startup(sockets)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await _take_the_last(self, leaving, sockets or [])
            await super().shutdown(sockets)

    return LeavingServer(config)


async def _take_the_last(server: Server, leaving: Leaving, sockets: list[socket.socket]) -> None:
    """Until no connection is left, or none has said anything for a moment."""
    for found in sockets:
        refuse_new(found)
    await asyncio.sleep(_TAKING_SECONDS)
    for listening in server.servers:
        listening.close()
    leaving.begun = True
    end = time.monotonic() + LINGER_SECONDS
    while server.server_state.connections and time.monotonic() < end:
        await asyncio.sleep(_STEP_SECONDS)


def refuse_new(found: socket.socket) -> None:
    """Let the system make no more connections, so that none is cut when the socket is closed.

    Who asks meanwhile asks again by itself, a second later. Where the system cannot do that, a
    connection made in the very moment of closing is reset.
    """
    if sys.platform != "linux":
        return
    code = ctypes.create_string_buffer(_DROP)
    program = struct.pack("@HP", 1, ctypes.addressof(code))
    with contextlib.suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def raise_file_limit() -> int:
    """Allow this process as many open files as it may have, and so connections; their number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # where the system allows less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class _Complaints:
    """What the loop cannot handle, in words, and not once for each connection."""

    def __init__(self) -> None:
        self._last = -_COMPLAINT_SECONDS

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "out of system resource" not in str(context.get("message")):
            loop.default_exception_handler(context)
            return
        if time.monotonic() - self._last >= _COMPLAINT_SECONDS:
            self._last = time.monotonic()
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            log.log(
                logging.ERROR,
                "no more connections: the process may have %d open files; further clients wait "
                "until others leave. Allow more (ulimit -n), or put a proxy before it.",
                limit,
            )
