"""What every test can ask for. The tests run without a network and on a CPU."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import tally

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for mark, (there, reason) in NEEDS.items():
        marked = [item for item in items if item.get_closest_marker(mark)]
        if marked and not there():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


# What some tests need is looked for where there are such tests alone: torch takes seconds.
def has_gpu() -> bool:
    import torch

    return torch.accelerator.is_available()


def runs_bf16() -> bool:
    from ulmfit.runtime import cpu_runs_bf16

    return cpu_runs_bf16()


def runs_int8() -> bool:
    from ulmfit.errors import SettingsError
    from ulmfit.model.int8_encoder import require_int8

    try:
        require_int8()
    except SettingsError:
        return False
    return True


NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "gpu": (has_gpu, "there is no accelerator on this machine"),
    "bf16": (runs_bf16, "the LSTM of this processor has no bf16"),
    "int8": (runs_int8, "this processor has no VNNI: 8-bit products would overflow"),
}


def pytest_sessionfinish(session: pytest.Session) -> None:
    tally.write()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that would reach beyond this machine fails instead."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        inet = self.family in (socket.AF_INET, socket.AF_INET6)
        if inet and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """The folder of a real data set that is too large for the repository, or a skip."""

    def folder(name: str) -> Path:
        found = ROOT.parent / "shared" / "data" / name
        if not found.is_dir():
            pytest.skip(f"../shared/data/{name} is not there")
        return found

    return folder


@pytest.fixture(scope="session")
def tiny_texts() -> list[str]:
    """Twelve short texts with something to learn: the first six are glad, the others are not."""
    return [
        "A wonderful film, I loved every minute of it.",
        "Great acting and a lovely story!",
        "Simply the best thing I have seen this year.",
        "I laughed, I cried, I loved it.",
        "What a lovely, wonderful surprise.",
        "Great fun for everyone, simply great.",
        "A terrible film, I hated every minute of it.",
        "Awful acting and a boring story!",
        "Simply the worst thing I have seen this year.",
        "I yawned, I slept, I hated it.",
        "What a boring, terrible waste of time.",
        "No fun for anyone, simply awful.",
    ]


@pytest.fixture(scope="session")
def tiny_labels() -> list[str]:
    """The labels of `tiny_texts`."""
    return ["good"] * 6 + ["bad"] * 6


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, for commands that write relative paths."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
