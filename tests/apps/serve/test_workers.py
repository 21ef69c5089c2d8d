"""The rest is in test_server.py: `test_several_workers`."""

from __future__ import annotations

import os
import socket

import pytest

from ulmfit.apps.serve.workers import Hold, Workers
from ulmfit.errors import SettingsError


def dying(hold: Hold, found: socket.socket) -> None:
    os._exit(7)


def test_a_worker_that_cannot_start() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as found,
        pytest.raises(SettingsError) as caught,
    ):
        Workers(dying, found, 2).run(lambda: None, lambda: None, 5.0)
    assert str(caught.value).startswith("a worker ended before it was ready, with exit code 7.")
