"""Requests beyond the limits: each must be refused, in words that say the limit."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

from benchmarks.load.connection import Answer, once

Said = tuple[dict[str, str], list[str]]  # what was said to each kind of request, and the faults

_BEYOND: dict[str, tuple[int, str, dict[str, object] | None]] = {
    "too many texts": (422, "at most 1,000 (the limit `texts`)", {"texts": ["a"] * 1_001}),
    "too long a text": (422, "at most 500,000 (the limit `chars`)", {"text": "a" * 500_001}),
    "too many bytes": (413, "bytes (the limit `body_bytes`)", {"text": "a" * (4 << 20)}),
    "not JSON": (422, "a JSON object", None),
}
"""Status, what must be said, and the request."""


async def each_limit(port: int) -> Said:
    """One request beyond each limit on its content."""
    said, faults = {}, []
    for name, (status, words, request) in _BEYOND.items():
        answer = await once(port, b"{" if request is None else json.dumps(request).encode())
        said[name] = sentence(answer)
        if answer.status != status or words not in said[name]:
            faults.append(f"{name}: {said[name]}")
    return said, faults


async def too_many_at_once(port: int, requests: int) -> Said:
    """More requests at a time than are handled: what those beyond are told."""
    body = json.dumps({"texts": ["a few words more"] * 200}).encode()
    found = await asyncio.gather(
        *(once(port, body) for _ in range(requests)), return_exceptions=True
    )
    answers = [one for one in found if isinstance(one, Answer)]
    refused = [sentence(one) for one in answers if one.status == 429]
    others = Counter(
        str(one.status) if isinstance(one, Answer) else type(one).__name__
        for one in found
        if not isinstance(one, Answer) or one.status not in (200, 429)
    )
    faults = [f"{count} requests at once ended with {what}" for what, count in others.items()]
    faults += [f"too many at once: {one}" for one in set(refused) if "; at most " not in one]
    if not refused:
        return {}, [*faults, f"none of {requests} requests at once was told to come back"]
    return {"too many at once": refused[0]}, faults


def sentence(answer: Answer) -> str:
    """A refusal in one line."""
    found = json.loads(answer.body)
    if "error" not in found:
        return f"{answer.status}"
    return f"{answer.status}: {found['error']}; {found['expected']}"
