"""What a service accepts, so that no client can take it down, and how it says no."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """Bounds of one worker; all are ours, chosen for a machine with a few GB of memory.

    Attributes:
        body_bytes: of one request: a thousand reviews are about 1.3 MB.
        texts: in one request.
        chars: of one text; a novel has half a million.
        explain_chars: of a text to explain, which takes the time of many predictions.
        requests: handled at a time; more are told to come back. With `body_bytes` it bounds the
            memory that requests can take.
        waiting_texts: accepted and not yet predicted.
        waiting_chars: likewise.
        waiting_seconds: likewise, at the speed of the last batches: less than `grace_seconds`, so
            that what is accepted can be answered when the service is told to stop, unless it gets
            much slower.
        explaining: explanations at a time, one computed and the rest waiting; times
            `explain_seconds`, likewise less.
        explain_seconds: for one explanation; it is coarser where that is not enough, and says so.
        batch_texts: predicted together.
        batch_chars: likewise; a long text has a batch of its own.
        body_seconds: for a client to send its request.
        grace_seconds: for requests that were accepted when the service is told to stop.
    """

    body_bytes: int = 4 << 20
    texts: int = 1_000
    chars: int = 500_000
    explain_chars: int = 5_000
    requests: int = 256
    waiting_texts: int = 4_000
    waiting_chars: int = 16_000_000
    waiting_seconds: float = 20.0
    explaining: int = 4
    explain_seconds: float = 5.0
    batch_texts: int = 64
    batch_chars: int = 250_000
    body_seconds: float = 30.0
    grace_seconds: int = 30


@dataclass
class Refused(Exception):
    """A request that is answered with an error.

    Attributes:
        status: of HTTP, 4xx.
        problem: what is wrong; never a part of a text.
        expected: what would have been right.
        hint: what the client can do.
        headers: of the answer.
    """

    status: int
    problem: str
    expected: str | None = None
    hint: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, str | None]:
        """The body of the answer."""
        return {"error": self.problem, "expected": self.expected, "hint": self.hint}


def overloaded(what: str, limit: str, seconds: float) -> Refused:
    """Too much to do.

    Args:
        what: there is too much of.
        limit: how much is accepted.
        seconds: after which to try again.
    """
    wait = max(1, min(60, math.ceil(seconds)))
    return Refused(
        429,
        f"the service is busy: {what}",
        f"at most {limit}",
        f"Send the request again in {wait} s.",
        {"Retry-After": str(wait)},
    )


def require_within(texts: Sequence[str], limits: Limits) -> None:
    """Check the texts of one request.

    Raises:
        Refused: 422, with the limit.
    """
    if not texts:
        raise Refused(422, "there is no text", f"1 to {limits.texts:,} texts")
    if len(texts) > limits.texts:
        raise Refused(
            422,
            f"the request has {len(texts):,} texts",
            f"at most {limits.texts:,} (the limit `texts`)",
            "Send them in several requests.",
        )
    require_length(texts, limits.chars, "chars")


def require_length(texts: Sequence[str], limit: int, name: str) -> None:
    """Check the length of each text, in characters.

    Raises:
        Refused: 422, with the limit and its name.
    """
    for number, text in enumerate(texts, 1):
        if len(text) > limit:
            raise Refused(
                422,
                f"text {number} has {len(text):,} characters",
                f"at most {limit:,} (the limit `{name}`)",
                "Shorten it, or send it in parts.",
            )
