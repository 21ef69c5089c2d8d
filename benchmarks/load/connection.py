"""HTTP/1.1 over one connection, as little as is needed: clients share the machine with the service.

A connection that the service has ended is noticed before something is sent, as every client
library does. What ends after that is an error of the service, and never sent again here.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

ANSWER_SECONDS = 120.0  # for an answer; later is a failure
_REFUSED_SECONDS = 60.0  # for a service that starts
_PAUSE_SECONDS = 0.05


class Unreachable(ConnectionError):
    """Nobody listened for a minute; nothing was sent."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One client's way to the service.

    Attributes:
        refused: how often nobody listened; nothing was sent then, and it was tried again.
        renewed: how often the service had ended the connection between two requests.
        sent: requests that were given to the system to the last byte.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.refused = 0
        self.renewed = 0
        self.sent = 0

    @property
    def is_cut(self) -> bool:
        """Whether the other side has ended it."""
        if self._streams is None:
            return False
        reader = self._streams[0]
        return reader.at_eof() or reader.exception() is not None

    async def open(self) -> None:
        """Connect, unless it is connected.

        Raises:
            Unreachable: for a minute nobody listened.
        """
        if self.is_cut:
            self.renewed += 1
            await self.close()
        end = asyncio.get_running_loop().time() + _REFUSED_SECONDS
        while self._streams is None:
            try:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            except ConnectionRefusedError as error:
                self.refused += 1
                if asyncio.get_running_loop().time() > end:
                    raise Unreachable from error
                await asyncio.sleep(_PAUSE_SECONDS)

    async def ask(self, path: str, body: bytes) -> Answer:
        """Send a request and wait for its answer.

        Raises:
            OSError, EOFError: the connection was cut.
            TimeoutError: the answer took more than two minutes.
            Unreachable: for a minute nobody listened.
        """
        async with asyncio.timeout(ANSWER_SECONDS):
            await self.open()
            answer = await self._exchange(path, body)
        if answer.headers.get("connection") == "close":
            await self.close()
        return answer

    async def _exchange(self, path: str, body: bytes) -> Answer:
        assert self._streams is not None
        reader, writer = self._streams
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        whole = writer.transport.get_write_buffer_size() == 0
        self.sent += whole
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        pairs = (line.partition(": ") for line in lines if line)
        headers = {name.lower(): value for name, _, value in pairs}
        found = await reader.readexactly(int(headers["content-length"]))
        self.sent += not whole  # it went out meanwhile: there is an answer
        return Answer(int(first.split()[1]), headers, found)

    async def close(self) -> None:
        """Hang up."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()


async def once(port: int, body: bytes) -> Answer:
    """One request for labels, on a connection of its own."""
    connection = Connection(port)
    try:
        return await connection.ask("/predict", body)
    finally:
        await connection.close()
