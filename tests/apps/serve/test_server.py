from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.apps.serve.conftest import chances, close, encoded, until
from ulmfit.apps.export import export_onnx
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.serve.server import ServeSettings, require_extra, run_service
from ulmfit.errors import ModelFolderError, SettingsError

TOKEN = "correct-horse-battery"


class Running:
    """`ulmfit serve` in a process group of its own."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "ulmfit", "serve", *map(str, arguments), "--port", "0"]
        self.process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "ULMFIT_TOKEN": TOKEN},
        )
        assert self.process.stderr is not None
        self.said = [self.process.stderr.readline()]
        found = re.search(r"is served on (http://127\.0\.0\.1:\d+)$", self.said[0])
        assert found, self.said[0] + self.process.stderr.read()
        self.address = found[1]

    def client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {TOKEN}"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=60)

    def end(self) -> str:
        """What it said, when it has ended."""
        assert self.process.stderr is not None
        self.said += self.process.stderr.readlines()
        assert self.process.wait(60) == 0, self.said
        return "".join(self.said)


@contextmanager
def running(*arguments: object) -> Iterator[Running]:
    found = Running(*arguments)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            os.killpg(found.process.pid, signal.SIGKILL)
            found.process.wait()
        assert found.process.stderr is not None
        found.process.stderr.close()


def test_accepted_requests_are_answered_when_it_is_told_to_stop(
    model_folder: Path, predictor: Predictor, texts: list[str]
) -> None:
    many = [f"{text} secret {n}" for n in range(20) for text in texts]
    answers: list[httpx.Response] = []
    with running(model_folder, "--access-log") as service, service.client() as client:
        assert client.get("/health").json() == {"status": "ok"}
        assert httpx.get(f"{service.address}/model").status_code == 401
        work = threading.Thread(
            target=lambda: answers.append(client.post("/predict", json=encoded(many)))
        )
        with service.client() as other:
            work.start()
            until(lambda: "in_progress 2.0" in other.get("/metrics").text)
        service.process.send_signal(signal.SIGTERM)
        work.join(60)
        said = service.end()
    assert close(chances(answers[0]), predictor.predict_proba(many))
    assert said.endswith("Stopped.\n")
    assert "POST /predict 200" in said
    assert "secret" not in said
    assert TOKEN not in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_several_workers(model_folder: Path, predictor: Predictor, texts: list[str]) -> None:
    def children(service: Running) -> list[int]:
        found = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
        commands = {
            int(pid): Path(f"/proc/{pid}/cmdline").read_text() for pid in found.read_text().split()
        }
        return [pid for pid, command in commands.items() if "spawn_main" in command]

    def handles_signals(pid: int) -> bool:
        caught = re.search(r"^SigCgt:\s+(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.M)
        assert caught
        return bool(int(caught[1], 16) & 1 << signal.SIGTERM - 1)

    def count(service: Running, line: str) -> float:
        with service.client() as client:
            found = re.search(rf"^{line} (\S+)$", client.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    with running(model_folder, "--workers", "2", "--threads", "1") as service:
        alone = predictor.predict_proba(texts)
        for number, text in enumerate(texts):
            with service.client() as client:  # a connection each: either worker may get it
                assert close(chances(client.post("/predict", json={"text": text})), alone[number])
        assert count(service, "ulmfit_texts_total") == len(texts)
        first, second = children(service)
        os.kill(first, signal.SIGKILL)
        until(lambda: len(children(service)) == 2 and first not in children(service), 60)
        for _ in range(10):
            with service.client() as client:
                assert close(chances(client.post("/predict", json=encoded(texts))), alone)
        assert count(service, "ulmfit_texts_total") == 11 * len(texts)
        assert count(service, "ulmfit_requests_in_progress") == 1
        assert second in children(service)
        # one that is still importing torch would be interrupted by Python itself
        until(lambda: all(handles_signals(pid) for pid in children(service)), 60)
        os.killpg(service.process.pid, signal.SIGINT)  # as a terminal does for Ctrl-C
        said = service.end()
    assert "Traceback" not in said
    assert said.endswith("Stopped.\n")


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_during_an_import_is_no_traceback(model_folder: Path, workers: str) -> None:
    command = [sys.executable, "-m", "ulmfit", "serve", str(model_folder), "--port", "0"]
    for seconds in (0.4, 0.8, 1.6, 2.4, 3.2, 4.0):
        with subprocess.Popen(
            [*command, "--workers", workers],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            time.sleep(seconds)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            said = process.communicate(timeout=60)[1]
        assert "Traceback" not in said, (seconds, said)
        assert process.returncode in (0, 130, -signal.SIGINT)


def test_an_address_in_use(model_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError) as caught:
            run_service(ServeSettings(model_folder, port=port), lambda address: None)
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1 port {port}: Address already in use. "
        "Choose another one with --host and --port; --port 0 takes any free port."
    )


def test_an_unknown_host_is_told(model_folder: Path) -> None:
    settings = ServeSettings(model_folder, host="no.such.host.invalid", port=0)
    with pytest.raises(SettingsError, match=r"cannot listen on no\.such\.host\.invalid") as caught:
        run_service(settings, lambda address: None)
    assert "Unknown error" not in str(caught.value)
    assert "while attempting" not in str(caught.value)


def test_a_port_that_is_left_in_a_moment_is_waited_for(tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    threading.Timer(0.5, taken.close).start()
    with pytest.raises(ModelFolderError):  # it came as far as the model, which is not there
        run_service(ServeSettings(tmp_path, port=port), lambda address: None)
    assert taken.fileno() == -1


def test_a_broken_model_is_named_once(tmp_path: Path) -> None:
    for workers in (1, 2):
        with pytest.raises(ModelFolderError):
            run_service(ServeSettings(tmp_path, port=0, workers=workers), lambda address: None)


def test_an_extra_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "uvicorn" else find(name)
    )
    with pytest.raises(SettingsError) as caught:
        require_extra()
    assert str(caught.value) == (
        "the service needs the package 'uvicorn', which is not installed. "
        "Install it with `pip install 'ulmfit[serve]'`."
    )


def test_an_exported_model_is_served_without_explanations(
    predictor: Predictor, texts: list[str], tmp_path: Path
) -> None:
    export_onnx(predictor, tmp_path / "exported")
    with running(tmp_path / "exported") as service, service.client() as client:
        assert client.get("/model").json()["explains"] is False
        found = chances(client.post("/predict", json=encoded(texts)))
        assert close(found, predictor.predict_proba(texts))
        assert client.post("/explain", json={"text": texts[0]}).status_code == 501
        os.killpg(service.process.pid, signal.SIGTERM)
        service.end()
