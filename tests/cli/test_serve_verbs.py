from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import run
from ulmfit.apps.serve import server
from ulmfit.apps.serve.limits import Limits
from ulmfit.apps.serve.server import ServeSettings
from ulmfit.cli.serve_verbs import serve

CONFIG = '{"format": {"version": 1, "files": {}}}'


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[ServeSettings]:
    """What the verb asks for; test_server.py runs it for real."""
    found: list[ServeSettings] = []
    monkeypatch.setattr(server, "run_service", lambda settings, announce: found.append(settings))
    monkeypatch.setattr("ulmfit.artifacts.read_config", lambda path: {})
    monkeypatch.delenv("ULMFIT_TOKEN", raising=False)
    return found


def test_defaults_are_those_of_the_library(asked: list[ServeSettings]) -> None:
    done = run("serve", "model", "--threads", "1")
    assert (done.code, done.err) == (0, "Stopped.\n")
    assert asked == [ServeSettings(Path("model"))]


def test_options(asked: list[ServeSettings], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("correct-horse-battery\n")
    limits = ("--max-body", 9, "--max-texts", 8, "--max-chars", 7, "--max-waiting", 6)
    more = ("--host", "0.0.0.0", "--port", 80, "--workers", 3, "--min-confidence", 0.8)
    done = run(
        "serve", "model", *more, *limits, "--token-file", token, "--threads", 2, "--int8", "-q"
    )
    assert (done.code, done.err) == (0, "")
    assert asked[0] == ServeSettings(
        Path("model"),
        host="0.0.0.0",
        port=80,
        workers=3,
        threads=2,
        int8=True,
        token="correct-horse-battery",
        min_confidence=0.8,
        limits=replace(Limits(), body_bytes=9, texts=8, chars=7, waiting_texts=6),
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_only_this_machine(asked: list[ServeSettings], host: str) -> None:
    assert "Warning" not in run("serve", "model", "--host", host).err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "somewhere"])
def test_everybody_is_warned_of(asked: list[ServeSettings], host: str) -> None:
    done = run("serve", "model", "--host", host)
    assert f"Warning: everybody who reaches {host} can use the service\n" in done.err
    assert "--token-file FILE lets in only those who have the token." in done.err


def test_what_is_no_model(tmp_path: Path) -> None:
    done = run("serve", tmp_path / "none")
    assert done.code == 2
    assert done.err.startswith("Error: ")
    assert done.out == ""


def test_a_token_is_never_an_argument() -> None:
    assert "token" not in serve.__annotations__
    done = run("serve", "--help")
    assert "--token-file FILE" in done.out
    assert "--token " not in done.out
