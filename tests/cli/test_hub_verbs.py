from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps.hub_stand_in import TOKEN, Hub, running_hub
from tests.cli.conftest import run


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub of our own, and a token for it."""
    import huggingface_hub.constants as constants

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    with running_hub() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.endpoint)
        files = f"{found.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        yield found


def test_there_and_back(hub: Hub, model: Path, tmp_path: Path) -> None:
    pushed = run("push", model, "me/reviews")
    assert pushed.code == 0, pushed
    assert pushed.out.startswith(f"{model} is at {hub.endpoint}/me/reviews\n")
    assert "pull me/reviews model" in pushed.out
    pulled = run("pull", "me/reviews", tmp_path / "m", "--json")
    assert json.loads(pulled.out) == {"repository": "me/reviews", "model": str(tmp_path / "m")}
    texts = ["--text", "a good film", "--json"]
    assert run("predict", tmp_path / "m", *texts).out == run("predict", model, *texts).out
    assert (tmp_path / "m" / "backward" / "model.safetensors").exists()


def test_refusals_have_exit_codes(hub: Hub, model: Path, tmp_path: Path) -> None:
    named = run("push", model, "reviews")
    assert (named.code, named.out) == (2, "")
    assert "'reviews' is not the name of a repository" in named.err
    missing = run("pull", "me/none", tmp_path / "m")
    assert (missing.code, missing.out) == (1, "")
    assert "me/none" in missing.err
