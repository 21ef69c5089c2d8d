from __future__ import annotations

from pathlib import Path

import pytest

from tests.apps.serve.conftest import served
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.serve.access import TOKEN_VARIABLE, read_token
from ulmfit.apps.serve.app import Service
from ulmfit.errors import SettingsError

TOKEN = "correct-horse-battery"


def test_a_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert read_token(None) is None
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert read_token(None) == TOKEN
    path = tmp_path / "token.txt"
    path.write_text("another-horse-battery\n")
    assert read_token(path) == "another-horse-battery"


@pytest.mark.parametrize("content", ["", "\n", "short", "two words of a token", "läng" * 9])
def test_what_is_no_token(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        read_token(path)
    assert str(caught.value) == (
        f"--token-file '{path}' holds no token: expected at least 16 letters, digits or signs of "
        "ASCII, on one line. Make one with `openssl rand -hex 32`."
    )


def test_a_token_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_token(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(SettingsError, match="cannot be read: it is not text"):
        read_token(tmp_path / "binary")
    monkeypatch.setenv(TOKEN_VARIABLE, "")
    with pytest.raises(SettingsError, match="the variable ULMFIT_TOKEN holds no token"):
        read_token(None)


def test_nobody_without_the_token(predictor: Predictor) -> None:
    with served(Service(predictor, token=TOKEN)) as client:
        for path in ("/model", "/metrics", "/predict", "/explain", "/nothing"):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == 'Bearer realm="ulmfit"'
        assert answer.json() == {
            "error": "the token is missing or wrong",
            "expected": "the header `Authorization: Bearer TOKEN`",
            "hint": "Ask whoever runs the service for the token.",
        }
        for given in (f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "é"):
            wrong = {b"authorization": given.encode("latin-1")}
            answer = client.post("/predict", json={"text": "a"}, headers=wrong)
            assert answer.status_code == 401, given
        for scheme in ("Bearer", "bearer"):
            shown = {"authorization": f"{scheme} {TOKEN}"}
            answer = client.post("/predict", json={"text": "a"}, headers=shown)
            assert answer.status_code == 200
        for path in ("/", "/health", "/docs", "/openapi.json", "/page/main.js"):
            assert client.get(path).status_code == 200, path  # the page asks for the token


def test_browsers_are_told_what_they_may_do(predictor: Predictor) -> None:
    with served(Service(predictor, token=TOKEN)) as client:
        for path in ("/", "/model", "/health", "/docs", "/nothing"):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"
            assert "server" not in headers or "uvicorn" in headers["server"]
        assert client.get("/health").headers["cache-control"] == "no-store"
        assert client.get("/").headers["cache-control"] == "no-cache"
