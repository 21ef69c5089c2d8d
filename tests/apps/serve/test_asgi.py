from __future__ import annotations

import asyncio
import json

from ulmfit.apps.serve.asgi import Message, header, send_refusal
from ulmfit.apps.serve.limits import Refused


def test_a_refusal_is_an_answer_in_json() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(send_refusal(send, Refused(429, "busy: é", headers={"Retry-After": "2"})))
    start, body = sent
    assert start["status"] == 429
    assert dict(start["headers"]) == {
        b"content-type": b"application/json",
        b"content-length": str(len(body["body"])).encode(),
        b"retry-after": b"2",
    }
    assert json.loads(body["body"]) == {"error": "busy: é", "expected": None, "hint": None}


def test_headers_are_found_by_name() -> None:
    scope = {"headers": [(b"host", b"here"), (b"accept", b"all")]}
    assert header(scope, b"accept") == b"all"
    assert header(scope, b"cookie") is None
