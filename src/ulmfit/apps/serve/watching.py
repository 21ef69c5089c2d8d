"""Every request is counted and timed; what breaks is logged without a word of any text."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Collection

from ulmfit.apps.serve.asgi import App, Message, Receive, Scope, Send, send_refusal
from ulmfit.apps.serve.bodies import ClientGone
from ulmfit.apps.serve.limits import Refused
from ulmfit.apps.serve.metrics import Metrics

log = logging.getLogger("ulmfit.serve")

GONE = "gone"  # in place of a status: the client did not wait for it
_OTHER = "other"  # in place of a path: anybody can make up paths, and each would be kept


class Watched:
    """The outermost layer.

    Args:
        app: all the rest.
        metrics: is told of every request.
        paths: those that are told apart.
        access_log: log a line for each: method, path, status, milliseconds. Query strings and
            unknown paths are left out, as they can hold text.
    """

    def __init__(
        self, app: App, metrics: Metrics, paths: Collection[str], *, access_log: bool = False
    ) -> None:
        self._app, self._metrics, self._paths = app, metrics, frozenset(paths)
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = GONE

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        begin = time.perf_counter()
        self._metrics.begin()
        try:
            await self._app(scope, receive, send_noting)
        except ClientGone:
            status = GONE
        except asyncio.CancelledError:  # the server's time to end is over
            if status != GONE:
                raise
            await send_refusal(send_noting, _ended())
        except Exception as error:
            log.error("%s", _without_text(error))
            if status == GONE:
                await send_refusal(send_noting, _broken())
        finally:
            self._note(scope, status, time.perf_counter() - begin)

    def _note(self, scope: Scope, status: str, seconds: float) -> None:
        path = scope["path"] if scope["path"] in self._paths else _OTHER
        self._metrics.end(path, status, seconds)
        if self._access_log:
            log.info("%s %s %s %.1f ms", scope["method"], path, status, 1000 * seconds)


def _without_text(error: BaseException) -> str:
    """Type and place of an error: its message may quote what somebody sent."""
    places = "".join(traceback.format_tb(error.__traceback__))
    return f"a request failed with {type(error).__name__}\n{places}".rstrip()


def _broken() -> Refused:
    return Refused(
        500,
        "the service failed to answer",
        hint="This should not happen; its log says where.",
    )


def _ended() -> Refused:
    return Refused(
        503,
        "the service was told to stop and had no time for this request",
        hint="Send the request again in 1 s.",
        headers={"Retry-After": "1"},
    )
