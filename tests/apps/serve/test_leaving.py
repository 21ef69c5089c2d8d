from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.apps.serve.conftest import until
from tests.apps.serve.test_server import TOKEN, running
from ulmfit.apps.serve.leaving import raise_file_limit, refuse_new

BODY = json.dumps({"texts": ["the film was lovely .", "the film was awful ."]}).encode()
REQUEST = (
    f"POST /predict HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {TOKEN}\r\n"
    f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
).encode() + BODY


def answer(connection: socket.socket) -> tuple[int, bool]:
    """Status, and whether the connection goes on; raises where the answer is not whole."""
    with connection.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        headers = dict(line.split(b": ", 1) for line in iter(stream.readline, b"\r\n"))
        body = stream.read(int(headers[b"content-length"]))
        assert len(json.loads(body)["predictions"]) == 2
    return status, headers.get(b"connection", b"").strip() != b"close"


def ask_until_refused(address: tuple[str, int], statuses: list[int], lost: list[str]) -> None:
    while True:
        try:
            connection = socket.create_connection(address, timeout=20)
        except OSError:
            return  # refused: the service is gone
        with connection:
            more = True
            while more:
                try:
                    connection.sendall(REQUEST)
                    status, more = answer(connection)
                except (OSError, IndexError, ValueError) as error:
                    lost.append(repr(error))
                    return
                statuses.append(status)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_stop_under_load_loses_no_request(model_folder: Path, workers: int) -> None:
    statuses: list[int] = []
    lost: list[str] = []
    with running(model_folder, "--workers", workers, "--threads", "1") as service:
        address = ("127.0.0.1", int(service.address.rpartition(":")[2]))
        clients = [
            threading.Thread(target=ask_until_refused, args=(address, statuses, lost))
            for _ in range(16)
        ]
        for client in clients:
            client.start()
        time.sleep(1)
        service.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(40)
        said = service.end()
    assert lost == []
    assert set(statuses) == {200}
    assert len(statuses) > 32
    assert "Traceback" not in said


def test_no_connection_is_made_that_would_be_cut() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as found,
        socket.create_connection(found.getsockname()) as early,
    ):
        refuse_new(found)
        with pytest.raises(TimeoutError):
            socket.create_connection(found.getsockname(), timeout=0.2)
        taken, _ = found.accept()  # what was made before is there
        with taken:
            early.sendall(b"here")
            assert taken.recv(4) == b"here"


def test_as_many_files_as_may_be() -> None:
    assert raise_file_limit() >= 256


IMPATIENT = """
import sys
from pathlib import Path
from ulmfit.apps.serve.limits import Limits
from ulmfit.apps.serve.server import ServeSettings, run_service

if __name__ == "__main__":
    # text by text, so that a thousand of them take long on a fast machine too
    limits = Limits(grace_seconds=1, batch_texts=1)
    settings = ServeSettings(Path(sys.argv[1]), port=0, workers=int(sys.argv[2]), limits=limits)
    run_service(settings, lambda address: print(address, flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_what_takes_longer_than_a_stop_allows_is_told_to_come_back(
    model_folder: Path, tmp_path: Path, workers: int
) -> None:
    script = tmp_path / "impatient.py"
    script.write_text(IMPATIENT)
    command = [sys.executable, str(script), str(model_folder), str(workers)]
    answers: list[httpx.Response] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        texts = ["the film was lovely . " * 180] * 1_000  # many seconds of work
        ask = threading.Thread(
            target=lambda: answers.append(
                httpx.post(f"{address}/predict", json={"texts": texts}, timeout=60)
            )
        )
        ask.start()
        until(lambda: "in_progress 2.0" in httpx.get(f"{address}/metrics").text)
        begin = time.monotonic()
        process.terminate()
        ask.join(60)
        assert process.wait(60) == 0
    assert time.monotonic() - begin < 20
    assert answers[0].status_code == 503
    assert answers[0].headers["retry-after"] == "1"
    assert answers[0].json()["error"] == (
        "the service was told to stop and had no time for this request"
    )
