"""Who may ask: a bearer token, and headers that keep browsers from doing harm."""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from ulmfit.apps.serve.asgi import App, Message, Receive, Scope, Send, header, send_refusal
from ulmfit.apps.serve.limits import Refused
from ulmfit.errors import SettingsError

TOKEN_VARIABLE = "ULMFIT_TOKEN"  # noqa: S105 (its name, not the token)
_SHORTEST = 16  # characters: what `openssl rand -hex 8` gives

# They hold nothing secret: the page itself asks for the token and sends it on.
_OPEN = ("/", "/health", "/docs", "/openapi.json")
_OPEN_BELOW = "/page/"

# Everything the page needs comes from here, and nobody may put it into a frame.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_PRIVATE = (b"cache-control", b"no-store")  # answers are about somebody's text


def read_token(path: Path | None) -> str | None:
    """The token from a file, else from the environment, else none.

    It is never an argument: other users of the machine can read those.

    Raises:
        SettingsError: the file cannot be read, or what it holds is no token.
    """
    if path is None:
        name, value = f"the variable {TOKEN_VARIABLE}", os.environ.get(TOKEN_VARIABLE)
        if value is None:
            return None
    else:
        name = f"--token-file '{path}'"
        try:
            value = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise SettingsError(f"{name} cannot be read: {why}") from error
    token = value.strip()
    if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(
            f"{name} holds no token",
            expected=f"at least {_SHORTEST} letters, digits or signs of ASCII, on one line",
            hint="Make one with `openssl rand -hex 32`.",
        )
    return token


class Guarded:
    """Lets nobody in without the token, and sends the headers.

    Args:
        app: what is guarded.
        token: None to let everybody in.
    """

    def __init__(self, app: App, token: str | None) -> None:
        self._app = app
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _completed(message.get("headers", []))
            await send(message)

        if self._may(scope):
            await self._app(scope, receive, send_with_headers)
        else:
            await send_refusal(send_with_headers, _unauthorized())

    def _may(self, scope: Scope) -> bool:
        path = scope["path"]
        if self._token is None or path in _OPEN or path.startswith(_OPEN_BELOW):
            return True
        scheme, _, given = (header(scope, b"authorization") or b"").partition(b" ")
        # always compared in full, so that the time tells nothing about the token
        same = hmac.compare_digest(given.strip(), self._token)
        return same and scheme.lower() == b"bearer"


def _completed(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    given = {name.lower() for name, _ in headers}
    return [*headers, *(pair for pair in (*_HEADERS, _PRIVATE) if pair[0] not in given)]


def _unauthorized() -> Refused:
    return Refused(
        401,
        "the token is missing or wrong",
        "the header `Authorization: Bearer TOKEN`",
        "Ask whoever runs the service for the token.",
        {"WWW-Authenticate": 'Bearer realm="ulmfit"'},
    )
