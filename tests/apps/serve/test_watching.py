from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.apps.serve.conftest import served
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.serve.app import Service
from ulmfit.apps.serve.asgi import App, Message, Receive, Scope, Send
from ulmfit.apps.serve.bodies import ClientGone
from ulmfit.apps.serve.metrics import Metrics
from ulmfit.apps.serve.watching import Watched, log


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("a secret text")


async def gone(scope: Scope, receive: Receive, send: Send) -> None:
    raise ClientGone


def request(app: App, path: str = "/predict") -> tuple[list[Message], str]:
    """What is sent to the client, and what Prometheus is told."""
    sent: list[Message] = []
    metrics = Metrics()

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": path, "headers": []}
    asyncio.run(Watched(app, metrics, ["/predict"])(scope, receive, send))
    return sent, metrics.page()[0].decode()


@pytest.fixture(autouse=True)
def propagated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "propagate", True)


def test_what_breaks_is_logged_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    sent, page = request(broken)
    assert sent[0]["status"] == 500
    assert b"the service failed to answer" in sent[1]["body"]
    assert 'ulmfit_requests_total{path="/predict",status="500"} 1.0' in page
    assert "a request failed with ValueError" in caplog.text
    assert "in broken" in caplog.text
    assert "secret" not in caplog.text.replace('ValueError("a secret text")', "")


def test_clients_that_go_away_are_counted() -> None:
    sent, page = request(gone)
    assert sent == []
    assert 'ulmfit_requests_total{path="/predict",status="gone"} 1.0' in page
    assert "ulmfit_requests_in_progress 0.0" in page


def test_paths_that_somebody_made_up_are_one() -> None:
    _, page = request(gone, "/secret/words")
    assert 'path="other"' in page
    assert "secret" not in page


def test_no_text_is_logged(predictor: Predictor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger=log.name)
    with served(Service(predictor, access_log=True)) as client:
        client.post("/predict", json={"text": "a secret film"})
        client.post("/predict?text=secret", json={"txet": "a secret film"})
        client.get("/predict?text=secret")
        client.get("/secret")
    ours = [record.getMessage() for record in caplog.records if record.name == "ulmfit.serve"]
    assert [line.rsplit(" ", 2)[0] for line in ours] == [
        "POST /predict 200",
        "POST /predict 422",
        "GET /predict 405",
        "GET other 404",
    ]
    others = [r for r in caplog.records if not r.name.startswith(("httpx", "httpcore"))]
    assert not any("secret" in record.getMessage() for record in others)
