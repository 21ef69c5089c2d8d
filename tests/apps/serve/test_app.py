from __future__ import annotations

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.apps.serve.conftest import chances, close, encoded, occluding, served, until
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.serve.app import PATHS, Service
from ulmfit.apps.serve.limits import Limits

GLAD, SAD = "the film was lovely .", "the film was awful ."


def test_one_text(client: httpx.Client) -> None:
    (found,) = client.post("/predict", json={"text": GLAD}).json()["predictions"]
    assert (found["label"], found["labels"], found["abstained"]) == ("glad", ["glad"], False)
    assert found["confidence"] == max(found["probabilities"].values()) > 0.8
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_many_texts_as_the_predictor_alone(
    client: httpx.Client, predictor: Predictor, texts: list[str]
) -> None:
    answer = client.post("/predict", json=encoded(texts))
    assert close(chances(answer), predictor.predict_proba(texts))
    labels = [one["label"] for one in answer.json()["predictions"]]
    assert labels == predictor.decide(predictor.predict_proba(texts))


def test_requests_at_the_same_time_get_their_own_answers(
    client: httpx.Client, predictor: Predictor, texts: list[str]
) -> None:
    def ask(number: int) -> httpx.Response:
        return client.post("/predict", json=encoded(texts[number : number + 1 + number % 3]))

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(len(texts) - 2)))
    alone = predictor.predict_proba(texts)
    for number, answer in enumerate(answers):
        assert close(chances(answer), alone[number : number + 1 + number % 3])


def test_half_a_surrogate_pair_is_no_failure(client: httpx.Client) -> None:
    body = b'{"texts": ["a \\ud800 film", "\\u0000", "\\ud83d\\ude00"]}'
    answer = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert len(chances(answer)) == 3
    body = b'{"text": "a \\ud800 film"}'
    answer = client.post("/explain", content=body, headers={"content-type": "application/json"})
    assert [span["text"] for span in answer.json()["spans"]] == ["a", "\ufffd", "film"]


def test_abstention(client: httpx.Client, predictor: Predictor) -> None:
    sure = predictor.predict_proba([GLAD, "film story"]).max(axis=1).tolist()
    assert sure[0] > sure[1] + 0.01
    asked = {"texts": [GLAD, "film story"], "min_confidence": sum(sure) / 2}
    first, second = client.post("/predict", json=asked).json()["predictions"]
    assert (first["label"], first["abstained"]) == ("glad", False)
    assert (second["label"], second["labels"], second["abstained"]) == (None, [], True)
    assert second["probabilities"]
    with served(Service(predictor, min_confidence=1.0)) as strict:
        (found,) = strict.post("/predict", json={"text": GLAD}).json()["predictions"]
        assert found["abstained"]
        asked = {"text": GLAD, "min_confidence": 0}
        (found,) = strict.post("/predict", json=asked).json()["predictions"]
        assert found["label"] == "glad"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "the request has neither `text` nor `texts`"),
        ({"text": "a", "texts": ["b"]}, "the request has `text` and `texts`"),
        ({"texts": []}, "there is no text"),
        ({"texts": "secret"}, "texts: Input should be a valid list"),
        ({"texts": ["a", 7]}, "texts.1: Input should be a valid string"),
        ({"text": None}, "the request has neither `text` nor `texts`"),
        ({"text": "secret", "min_confidence": 2}, "min_confidence: Input should be less than or"),
        ({"text": "secret", "txet": "secret"}, "txet: Extra inputs are not permitted"),
        (["secret"], "the body: Input should be a valid"),
    ],
)
def test_what_is_no_request(client: httpx.Client, body: object, problem: str) -> None:
    answer = client.post("/predict", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(problem)
    assert "secret" not in answer.text  # nothing that was sent comes back


@pytest.mark.parametrize(
    ("content", "kind", "status", "problem"),
    [
        (b"{", "application/json", 422, "the body is not JSON"),
        (b'{"text": "\xff"}', "application/json", 400, "the body cannot be read"),
        (b"[" * 100_000, "application/json", 400, "the body cannot be read"),
        (b'{"text": "a"}', "text/plain", 415, "the body is not sent as JSON"),
        (b"", "application/json", 422, "the body: Field required"),
    ],
)
def test_what_is_no_json(
    client: httpx.Client, content: bytes, kind: str, status: int, problem: str
) -> None:
    answer = client.post("/predict", content=content, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["error"][: len(problem)]) == (status, problem)


def test_limits_are_named(predictor: Predictor) -> None:
    limits = replace(Limits(), body_bytes=300, texts=3, chars=20, explain_chars=10)
    with served(Service(predictor, occluding(predictor), limits=limits)) as client:
        answer = client.post("/predict", json={"texts": ["a"] * 4})
        assert answer.status_code == 422
        assert answer.json() == {
            "error": "the request has 4 texts",
            "expected": "at most 3 (the limit `texts`)",
            "hint": "Send them in several requests.",
        }
        answer = client.post("/predict", json={"texts": ["a", "b" * 21]})
        assert answer.status_code == 422
        assert answer.json()["error"] == "text 2 has 21 characters"
        assert answer.json()["expected"] == "at most 20 (the limit `chars`)"
        answer = client.post("/explain", json={"text": "b" * 11})
        assert answer.status_code == 422
        assert answer.json()["expected"] == "at most 10 (the limit `explain_chars`)"
        answer = client.post("/predict", json={"text": "b" * 300})
        assert answer.status_code == 413
        assert answer.json()["expected"] == "at most 300 bytes (the limit `body_bytes`)"
        assert client.get("/model").json()["limits"]["texts"] == 3
        assert client.post("/predict", json={"texts": ["a"] * 3}).status_code == 200


def test_explanations(client: httpx.Client) -> None:
    found = client.post("/explain", json={"text": f"😀 {SAD}"}).json()
    assert (found["label"], found["method"]) == ("sad", "occlusion")
    best = max(found["spans"], key=lambda span: span["attribution"])
    assert (best["text"], best["start"], best["end"]) == ("awful", 15, 20)
    other = client.post("/explain", json={"text": SAD, "label": "glad"}).json()
    assert other["label"] == "glad"
    assert min(other["spans"], key=lambda span: span["attribution"])["text"] == "awful"
    answer = client.post("/explain", json={"text": SAD, "label": "secret"})
    assert answer.status_code == 422
    assert answer.json() == {
        "error": "the model does not know the label",
        "expected": "one of 'glad', 'sad'",
        "hint": None,
    }


def test_a_model_that_cannot_explain(predictor: Predictor) -> None:
    with served(Service(predictor)) as client:
        answer = client.post("/explain", json={"text": SAD})
        assert answer.status_code == 501
        assert answer.json()["error"] == "this model cannot explain its labels"
        assert client.get("/model").json()["explains"] is False


def test_what_is_served(client: httpx.Client) -> None:
    found = client.get("/model").json()
    assert (found["name"], found["labels"]) == ("moods", ["glad", "sad"])
    assert (found["multi_label"], found["explains"]) == (False, True)
    assert found["metrics"] == {"error": 0.05}
    assert client.get("/health").json() == {"status": "ok"}
    head = client.head("/health")
    assert (head.status_code, head.content) == (200, b"")


def test_several_labels(predictor: Predictor) -> None:
    class Several:
        """The same model, each label a yes or no of its own."""

        labels, multi_label = predictor.labels, True
        predict_proba = staticmethod(predictor.predict_proba)

        def decide(self, probabilities: NDArray[np.float32]) -> list[tuple[str, ...]]:
            return [
                tuple(name for name, p in zip(self.labels, row, strict=True) if p > 0.5)
                for row in probabilities
            ]

    with served(Service(Several())) as client:
        (found,) = client.post("/predict", json={"text": SAD}).json()["predictions"]
        assert (found["label"], found["labels"]) == (None, ["sad"])
        assert found["confidence"] == pytest.approx(found["probabilities"]["sad"] ** 2, abs=1e-5)


def test_nothing_at_an_address(client: httpx.Client) -> None:
    answer = client.get("/nothing")
    assert (answer.status_code, answer.json()["error"]) == (404, "there is nothing at this address")
    answer = client.get("/predict?text=secret")
    assert (answer.status_code, answer.json()["error"]) == (405, "GET is not answered here")
    assert answer.headers["allow"] == "POST"


def test_the_description_is_of_what_is_there(client: httpx.Client) -> None:
    found = client.get("/openapi.json").json()
    assert set(found["paths"]) == {"/predict", "/explain", "/model", "/health", "/metrics"}
    assert set(found["paths"]) <= set(PATHS)
    refusals = found["paths"]["/predict"]["post"]["responses"]
    assert {"200", "401", "413", "422", "429"} <= set(refusals)
    schema = refusals["422"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Problem"}
    assert json.dumps(found).count("HTTPValidationError") == 0


def test_clients_that_go_away_in_the_middle_hurt_nobody(
    client: httpx.Client, texts: list[str]
) -> None:
    body = json.dumps(encoded(texts * 20)).encode()
    head = "POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    address = (client.base_url.host, client.base_url.port)
    for sent in (b"POST", head.encode(), head.encode() + body[:99], head.encode() + body):
        for _ in range(5):
            with socket.create_connection(address) as connection:
                connection.sendall(sent)
    gone = r'^ulmfit_requests_total{path="/predict",status="gone"} (\S+)$'

    def all_are_over() -> bool:
        page = client.get("/metrics").text
        found = re.search(gone, page, re.MULTILINE)
        # whoever sent all of it may have been answered before it was seen to go
        return "in_progress 1.0" in page and found is not None and float(found[1]) >= 10

    until(all_are_over)
    assert client.post("/predict", json=encoded(texts)).status_code == 200


def test_metrics(client: httpx.Client, texts: list[str]) -> None:
    def counted(line: str) -> float:
        found = re.search(rf"^{re.escape(line)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    before = counted("ulmfit_texts_total")
    failed = 'ulmfit_requests_total{path="/predict",status="422"}'
    refused = counted(failed)
    client.post("/predict", json=encoded(texts))
    client.post("/predict", json={})
    assert counted("ulmfit_texts_total") == before + len(texts)
    assert counted(failed) == refused + 1
    assert counted("ulmfit_requests_in_progress") == 1  # the one for the metrics
    client.get("/some/made-up/path")
    page = client.get("/metrics")
    assert "made-up" not in page.text
    assert page.headers["content-type"].startswith("text/plain; version=")
