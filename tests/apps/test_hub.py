from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps import tiny_classifiers
from tests.apps.hub_stand_in import TOKEN, Hub, running_hub
from tests.apps.report.conftest import member
from ulmfit.apps import hub as module
from ulmfit.apps.hub import pull, push
from ulmfit.apps.predictor import Predictor
from ulmfit.errors import HubError, ModelFolderError, SettingsError

REPO = "me/reviews"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub of our own, and a token for it."""
    import huggingface_hub.constants as constants

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    with running_hub() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.endpoint)
        files = f"{found.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        yield found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a report and a note in it."""
    path = tmp_path_factory.mktemp("models") / "model"
    Predictor([member(("glad", "sad"))], {"test_error": 0.5}, device="cpu").save(path)
    (path / "report.html").write_text("quotes texts")
    (path / "notes.py").write_text("print('mine')")
    return path


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_model_comes_back_as_it_went(hub: Hub, model: Path, tmp_path: Path) -> None:
    address = push(model, REPO)
    assert address == f"{hub.endpoint}/{REPO}"
    stored = hub.repositories[REPO]
    assert stored.keys() == names_in(model) - {"report.html", "notes.py"}
    assert REPO in hub.private
    pull(REPO, tmp_path / "copy")
    assert names_in(tmp_path / "copy") == set(stored)
    for name, content in stored.items():
        assert (tmp_path / "copy" / name).read_bytes() == content == (model / name).read_bytes()
    text = ["the film was great"]
    probabilities = [
        Predictor.load(path).predict_proba(text) for path in (model, tmp_path / "copy")
    ]
    assert (probabilities[0] == probabilities[1]).all()


def test_an_exported_model_comes_back_as_it_went(hub: Hub, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from ulmfit.apps.export import export_onnx
    from ulmfit.apps.onnx_runtime import OnnxClassifier

    exported = export_onnx(tiny_classifiers.both(), tmp_path / "exported").path
    push(exported, REPO)
    pull(REPO, tmp_path / "copy")
    assert {"forward.onnx", "backward.onnx"} < names_in(tmp_path / "copy")
    assert names_in(tmp_path / "copy") == names_in(exported)
    OnnxClassifier.load(tmp_path / "copy")


def test_public_and_with_the_report_only_if_asked(hub: Hub, model: Path) -> None:
    push(model, REPO, public=True, report=True)
    assert REPO not in hub.private
    assert hub.repositories[REPO]["report.html"] == b"quotes texts"
    push(model, REPO)
    assert "report.html" not in hub.repositories[REPO]


def test_code_in_a_repository_is_not_fetched(hub: Hub, model: Path, tmp_path: Path) -> None:
    push(model, REPO)
    hub.repositories[REPO] |= {"evil.py": b"import os", "backward/evil.py": b"", "x.pkl": b""}
    pull(REPO, tmp_path / "copy")
    assert not {"evil.py", "backward", "x.pkl"} & names_in(tmp_path / "copy")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", None, "model.safetensors was altered"),
        ("tokenizer.json", b"", "tokenizer.json is cut"),
        ("config.json", b"{}", "is not a model folder of ulmfit"),
    ],
)
def test_what_was_altered_does_not_take_the_place_of_a_model(
    hub: Hub, model: Path, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    push(model, REPO)
    pull(REPO, tmp_path / "copy")
    stored = hub.repositories[REPO]
    whole = stored[name]
    stored[name] = whole[:-1] + bytes([whole[-1] ^ 1]) if content is None else content
    with pytest.raises(ModelFolderError, match=message):
        pull(REPO, tmp_path / "copy")
    assert Predictor.load(tmp_path / "copy").labels == ("glad", "sad")


def test_a_broken_model_is_not_pushed(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="does not exist"):
        push(tmp_path / "none", REPO)
    assert not hub.repositories


def test_a_folder_of_other_things_is_left_alone(hub: Hub, model: Path, tmp_path: Path) -> None:
    push(model, REPO)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.txt").write_text("years")
    with pytest.raises(SettingsError, match="holds other files"):
        pull(REPO, tmp_path / "thesis")
    assert names_in(tmp_path / "thesis") == {"text.txt"}


def test_without_a_token(
    hub: Hub, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(model, REPO)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=r"without a valid token|no token") as found:
        push(model, REPO)
    assert "Log in with `hf auth login`, or set HF_TOKEN" in str(found.value)
    with pytest.raises(HubError, match=r"may not see it|without a valid token"):
        pull(REPO, tmp_path / "copy")
    monkeypatch.setenv("HF_TOKEN", "hf_reads")
    with pytest.raises(HubError, match=f"your token may not write to '{REPO}'"):
        push(model, REPO)


def test_what_is_not_there(hub: Hub, model: Path, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="me/none"):
        pull("me/none", tmp_path / "copy")
    push(model, REPO)
    with pytest.raises(HubError, match=f"repository '{REPO}' has no such revision"):
        pull(REPO, tmp_path / "copy", revision="v9")


def test_without_a_network(
    hub: Hub, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    for action in (lambda: push(model, REPO), lambda: pull(REPO, tmp_path / "copy")):
        with pytest.raises(HubError, match="the hub cannot be reached") as found:
            action()
        assert "Check the network" in str(found.value)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("name", ["reviews", "a/b/c", "a b/c", "", "me/"])
def test_names_that_are_none(model: Path, tmp_path: Path, name: str) -> None:
    for action in (lambda: push(model, name), lambda: pull(name, tmp_path / "copy")):
        with pytest.raises(SettingsError, match="expected OWNER/NAME, such as me/reviews"):
            action()


def test_without_the_extra(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(SettingsError, match=r"Install it with `pip install 'ulmfit\[hub\]'`"):
        push(model, REPO)


def test_other_faults_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), module._reported(REPO):
        raise ZeroDivisionError


def test_the_hub_library_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, ulmfit.apps.hub; assert 'huggingface_hub' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
