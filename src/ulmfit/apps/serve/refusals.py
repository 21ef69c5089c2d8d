"""Whatever is wrong with a request is said in one form, and nothing of it is repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ulmfit.apps.serve.limits import Refused

if TYPE_CHECKING:
    from fastapi import FastAPI

_MOST_FAULTS = 5  # named in one answer


def handle_refusals(app: FastAPI) -> None:
    """Let an application answer with `Refused.document` whenever it refuses."""
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse

    def answer(refused: Refused) -> JSONResponse:
        return JSONResponse(
            refused.document(), status_code=refused.status, headers=dict(refused.headers)
        )

    async def refuse(_: Any, error: Any) -> JSONResponse:
        return answer(error)

    async def invalid(request: Any, error: Any) -> JSONResponse:
        if not _is_json(request.headers.get("content-type", "")):
            return answer(_of_http(415, request.method, None))
        return answer(_faults(error.errors()))

    async def http(request: Any, error: Any) -> JSONResponse:
        return answer(_of_http(error.status_code, request.method, error.headers))

    app.add_exception_handler(Refused, refuse)
    app.add_exception_handler(RequestValidationError, invalid)
    for status in (400, 404, 405, 415):
        app.add_exception_handler(status, http)


def _is_json(kind: str) -> bool:
    """As the framework has it: `application/json`, or another kind that is written in it."""
    kind = kind.partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def _faults(errors: list[dict[str, Any]]) -> Refused:
    """The places and what is wrong there, not what was sent."""
    if any(error["type"] == "json_invalid" for error in errors):
        return Refused(422, "the body is not JSON", 'a JSON object such as {"text": "..."}')
    lines = [
        f"{'.'.join(map(str, error['loc'][1:])) or 'the body'}: {error['msg']}"
        for error in errors[:_MOST_FAULTS]
    ]
    more = len(errors) - _MOST_FAULTS
    return Refused(
        422,
        "; ".join(lines) + (f"; and {more} more" if more > 0 else ""),
        'a JSON object such as {"text": "..."}, sent as application/json',
        "/docs describes all that can be sent.",
    )


def _of_http(status: int, method: str, headers: dict[str, str] | None) -> Refused:
    problem, hint = {
        400: ("the body cannot be read", 'Send JSON in UTF-8, such as {"text": "..."}.'),
        404: ("there is nothing at this address", "/docs describes what there is."),
        405: (f"{method} is not answered here", "/docs describes what there is."),
        415: ("the body is not sent as JSON", "Send the header `Content-Type: application/json`."),
    }[status]
    return Refused(status, problem, hint=hint, headers=headers or {})
