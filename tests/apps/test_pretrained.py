from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from tests.apps.conftest import make_lm
from ulmfit.apps import pretrained
from ulmfit.apps.language_models import save_lms
from ulmfit.apps.pretrained import LMRecord, list_lms, resolve_lms, shipped_lms
from ulmfit.artifacts import write_folder
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import ModelFolderError, SettingsError


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory, words: Tokenizer) -> Path:
    """A folder of language models as in the package: one of both directions, one of one."""
    folder = tmp_path_factory.mktemp("pretrained")
    forward, backward = make_lm(words, "forward", 0), make_lm(words, "backward", 1)
    save_lms({"forward": forward, "backward": backward}, folder / "en-small", store="8bit")
    save_lms({"backward": backward}, folder / "ko-small")
    (folder / "README.md").write_text("not a model")
    (folder / "notes").mkdir()
    return folder


def test_language_models_are_listed_direction_by_direction(shipped: Path, words: Tokenizer) -> None:
    records = list_lms(shipped)
    assert [(record.name, record.direction) for record in records] == [
        ("en-small", "forward"),
        ("en-small", "backward"),
        ("ko-small", "backward"),
    ]
    weights = (shipped / "ko-small" / "model.safetensors").read_bytes()
    assert records[2] == LMRecord(
        name="ko-small",
        direction="backward",
        vocabulary=words.vocab_size,
        vocabulary_kind="word",
        size_mb=round(len(weights) / 1e6, 1),
        licence="Apache-2.0",
        corpus="none",
        perplexity=12.5,
        word_perplexity=None,
        bits_per_char=None,
        scores={},
        layers="embedding of 16, 1 LSTM layers of 16 (the last one 16)",
        sha256=hashlib.sha256(weights).hexdigest(),
    )
    assert json.loads(json.dumps(records[0].to_dict()))["name"] == "en-small"


def test_facts_that_nobody_wrote_down_are_unknown(tmp_path: Path) -> None:
    save_lms({"forward": tiny.trained_lm(tiny.tokenizer())}, tmp_path / "x")
    (record,) = list_lms(tmp_path)
    assert (record.licence, record.corpus, record.perplexity) == ("unknown", "unknown", None)


def test_no_language_models(tmp_path: Path) -> None:
    assert list_lms(tmp_path) == []
    assert list_lms(tmp_path / "none") == []
    assert shipped_lms(tmp_path / "none") == {}


def test_broken_language_model_is_named_when_listed(tmp_path: Path) -> None:
    save_lms({"forward": tiny.trained_lm(tiny.tokenizer())}, tmp_path / "x")
    (tmp_path / "x" / "metrics.json").unlink()
    with pytest.raises(ModelFolderError, match=r"x' is broken: metrics\.json is missing"):
        list_lms(tmp_path)


def test_listing_does_not_import_torch(shipped: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from ulmfit.apps.pretrained import list_lms; "
        f"assert len(list_lms(Path({str(shipped)!r}))) == 3; "
        "print(sorted({'torch', 'sklearn', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout == b"[]\n"


def test_name_gives_the_wanted_directions(shipped: Path) -> None:
    both = resolve_lms("en-small", ("forward", "backward"), shipped)
    assert {direction: lm.direction for direction, lm in both.items()} == {
        "forward": "forward",
        "backward": "backward",
    }
    assert list(resolve_lms("en-small", ("backward",), shipped)) == ["backward"]
    assert resolve_lms("ko-small", ("backward",), shipped)["backward"].metrics["perplexity"] == 12.5


@pytest.mark.parametrize("kind", [str, Path])
def test_folder_gives_the_wanted_directions(lm_folder: Path, kind: type) -> None:
    assert list(resolve_lms(kind(lm_folder), ("backward", "forward"))) == ["backward", "forward"]


def test_name_wins_over_a_folder_called_the_same(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_lms({"forward": tiny.trained_lm(tiny.tokenizer())}, Path("en-small"))
    name = resolve_lms("en-small", ("forward",), shipped)["forward"]
    folder = resolve_lms("./en-small", ("forward",), shipped)["forward"]
    assert folder.config.emb_size == tiny.lm_config().emb_size != name.config.emb_size
    assert resolve_lms(Path("en-small"), ("forward",), shipped)["forward"].config == folder.config


@pytest.mark.parametrize(
    ("name", "hint"), [("en-smal", " Did you mean 'en-small'?"), ("models/mine", "")]
)
def test_unknown_name_offers_the_nearest(shipped: Path, name: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        resolve_lms(name, ("forward",), shipped)
    assert str(caught.value) == (
        f"language model '{name}' is neither a name nor a folder: "
        f"expected one of en-small, ko-small, or a folder.{hint}"
    )


def test_installation_without_language_models(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected one of \\(none in this installation\\), or"):
        resolve_lms("en-small", ("forward",), tmp_path)


def test_missing_direction(shipped: Path) -> None:
    with pytest.raises(ModelFolderError) as caught:
        resolve_lms("ko-small", ("forward", "backward"), shipped)
    assert str(caught.value) == (
        f"language model '{shipped}/ko-small' has no forward direction: expected what it has: "
        "backward. Choose the direction backward, or pretrain the other one."
    )


def test_two_directions_share_one_vocabulary(tmp_path: Path, words: Tokenizer) -> None:
    other = words.with_vocab([*words.vocab[:-1], "other"])
    pair = make_lm(words, "forward", 0), make_lm(other, "backward", 1)
    save_lms({"forward": pair[0], "backward": pair[1]}, tmp_path / "x")
    with pytest.raises(ModelFolderError, match=r"backward/tokenizer\.json is different from"):
        resolve_lms(tmp_path / "x", ("forward", "backward"))
    assert list(resolve_lms(tmp_path / "x", ("backward",))) == ["backward"]


@pytest.mark.parametrize("directions", [("forward",), ("backward",), ("forward", "backward")])
def test_classifier_is_no_language_model(tmp_path: Path, directions: tuple[str, ...]) -> None:
    files = tiny.trained_lm(tiny.tokenizer()).files()
    config = {**json.loads(files["config.json"]), "kind": "classifier"}
    write_folder(tmp_path / "x", {**files, "config.json": json.dumps(config).encode()})
    with pytest.raises(ModelFolderError, match="is of kind 'classifier': expected 'language_mod"):
        resolve_lms(tmp_path / "x", directions)  # type: ignore[arg-type]


def test_tampered_weights_are_not_loaded(tmp_path: Path) -> None:
    save_lms({"forward": tiny.trained_lm(tiny.tokenizer())}, tmp_path / "x")
    weights = tmp_path / "x" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ModelFolderError, match=r"model\.safetensors was altered \(its SHA-256"):
        resolve_lms("x", ("forward",), tmp_path)


def test_language_models_in_the_package_are_whole() -> None:
    for record in list_lms():
        lm = resolve_lms(record.name, (record.direction,))[record.direction]
        assert lm.tokenizer.vocab_size == record.vocabulary
        assert record.licence != "unknown"
    assert pretrained.SHIPPED.parent.name == "ulmfit"
