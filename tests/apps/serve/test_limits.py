from __future__ import annotations

import pytest

from ulmfit.apps.serve.limits import Limits, Refused, overloaded, require_length, require_within

LIMITS = Limits(texts=2, chars=3)


def test_within() -> None:
    require_within(["abc", ""], LIMITS)


@pytest.mark.parametrize(
    ("texts", "problem", "expected"),
    [
        ([], "there is no text", "1 to 2 texts"),
        (["a"] * 1001, "the request has 1,001 texts", "at most 2 (the limit `texts`)"),
        (["a", "abcd"], "text 2 has 4 characters", "at most 3 (the limit `chars`)"),
    ],
)
def test_beyond(texts: list[str], problem: str, expected: str) -> None:
    with pytest.raises(Refused) as caught:
        require_within(texts, LIMITS)
    assert (caught.value.status, caught.value.problem) == (422, problem)
    assert caught.value.expected == expected


def test_the_limit_is_named_and_the_text_is_not_repeated() -> None:
    with pytest.raises(Refused) as caught:
        require_length(["secret"], 3, "explain_chars")
    assert caught.value.document() == {
        "error": "text 1 has 6 characters",
        "expected": "at most 3 (the limit `explain_chars`)",
        "hint": "Shorten it, or send it in parts.",
    }


@pytest.mark.parametrize(("seconds", "said"), [(0.0, "1"), (2.1, "3"), (1e9, "60")])
def test_when_to_come_back(seconds: float, said: str) -> None:
    busy = overloaded("9 texts wait", "8 waiting texts", seconds)
    assert (busy.status, busy.headers) == (429, {"Retry-After": said})
    assert busy.problem == "the service is busy: 9 texts wait"
    assert busy.expected == "at most 8 waiting texts"
    assert busy.hint == f"Send the request again in {said} s."
