"""A classifier that tells "glad" from "sad", and a real server around it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests import tiny
from ulmfit import TextClassifier
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.serve.app import Service, make_app
from ulmfit.apps.serve.classifier import Explainer
from ulmfit.config import Dropouts

SETTINGS = {
    "finetune_lm": None,
    "classifier.epochs": 8,
    "classifier.batch_size": 8,
    "classifier.unfreezing": "full",
    "classifier.rates.lr": 0.1,
    "classifier.rates.kind": "uniform",
    "classifier.ar_alpha": 0.0,
    "classifier.tar_beta": 0.0,
    **{f"classifier.dropouts.{name}": 0.0 for name in Dropouts.model_fields},
    "classifier.head_p": [0.0, 0.0],
}


@pytest.fixture(scope="session")
def predictor(lm_folder: Path) -> Predictor:
    """Trained in a moment."""
    made = TextClassifier(lm=lm_folder, direction="both", overrides=SETTINGS)
    return made.fit(*tiny.labelled_texts(40)).predictor_


@pytest.fixture(scope="session")
def model_folder(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier as a folder."""
    path = tmp_path_factory.mktemp("served") / "moods"
    predictor.save(path)
    return path


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Fifty texts of several lengths, an empty one among them."""
    found = tiny.labelled_texts(48, seed=5)[0]
    return [*found, "", "the film was great . " * 60]


@dataclass(frozen=True)
class Piece:
    start: int
    end: int
    attribution: float


@dataclass(frozen=True)
class Occlusion:
    """What a label loses when a word is left out: slow, and plain to see that it is right."""

    text: str
    label: str
    probability: float
    score: float
    baseline_score: float
    spans: tuple[Piece, ...]
    method: str = "occlusion"
    coarse: bool = False


def occluding(predictor: Predictor) -> Explainer:
    """A real explainer that needs nothing but probabilities."""

    def explain(text: str, label: str | None) -> Occlusion:
        places = [(word_start, word_end) for word_start, word_end in words_of(text)]
        without = [text[:start] + text[end:] for start, end in places]
        table = predictor.predict_proba([text, "", *without]).astype(np.float64)
        column = int(table[0].argmax()) if label is None else predictor.labels.index(label)
        whole, nothing, *rest = np.log(table[:, column]).tolist()
        spans = (
            Piece(start, end, whole - left) for (start, end), left in zip(places, rest, strict=True)
        )
        probability = float(table[0, column])
        return Occlusion(text, predictor.labels[column], probability, whole, nothing, tuple(spans))

    return explain


def words_of(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for word in text.split():
        start = text.index(word, start)
        yield start, start + len(word)
        start += len(word)


Serving = Callable[[Service], AbstractContextManager[httpx.Client]]


@contextmanager
def served(service: Service) -> Iterator[httpx.Client]:
    """Serve on a free port of this machine; gives a client."""
    from uvicorn import Config, Server

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = Server(Config(make_app(service), log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            until(lambda: server.started)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(30)
        assert not thread.is_alive()


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something to happen."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def client(predictor: Predictor) -> Iterator[httpx.Client]:
    """Of a service with all defaults."""
    service = Service(predictor, occluding(predictor), name="moods", metrics={"error": 0.05})
    with served(service) as found:
        yield found


def chances(answer: httpx.Response) -> list[list[float]]:
    """The probabilities of an answer, rows in the order of its texts."""
    assert answer.status_code == 200, answer.text
    return [list(one["probabilities"].values()) for one in answer.json()["predictions"]]


def close(one: object, other: object) -> bool:
    """Equal within what the service promises."""
    return bool(np.abs(np.asarray(one) - np.asarray(other)).max() <= 1e-5)


def encoded(texts: Sequence[str]) -> dict[str, list[str]]:
    return {"texts": list(texts)}
