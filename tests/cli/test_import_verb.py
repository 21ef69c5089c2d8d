from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file as load

from tests import tiny
from tests.cli.conftest import run
from ulmfit.stages.lm_folder import TrainedLM


def weights(words: int = 20) -> dict[str, Any]:
    torch.manual_seed(0)
    found: dict[str, Any] = {}
    for name, value in tiny.lm_model(words).state_dict().items():
        name = name.replace("encoder.embedding.", "0.encoder.").replace("encoder.rnns", "0.rnns")
        name = name.replace("decoder_bias", "1.decoder.bias")
        found[name.replace("hh_l0", "hh_l0_raw") if "weight" in name else name] = value
    return found


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder as fastai leaves it."""
    folder = tmp_path / "fastai"
    folder.mkdir()
    torch.save(weights(), folder / "lm_fwd.pth")
    (folder / "itos.pkl").write_bytes(pickle.dumps(["_unk_", *(f"w{i}" for i in range(19))]))
    return folder


def test_weights_of_fastai_become_a_language_model(foreign: Path, tmp_path: Path) -> None:
    out = tmp_path / "lm"
    done = run("import-lm", foreign, "--out", out, "--info", "licence=CC0")
    assert done.code == 0, done
    assert done.out.startswith(f"Language model: {out} (forward, 28 words, 6 / 8 x 2)")
    assert done.out.rstrip().endswith(f"train DATA --lm {out} --direction forward")
    assert "licence: CC0" in (out / "README.md").read_text()
    torch.save(weights(), foreign / "lm_bwd.pth")
    two = run("import-lm", foreign, "--out", tmp_path / "x")
    assert two.code == 2
    assert "has 2 files that end in .pth or" in two.err
    both = run(
        *("import-lm", foreign / "lm_fwd.pth", "--backward", foreign / "lm_bwd.pth"),
        *("--out", tmp_path / "both", "--json"),
    )
    assert json.loads(both.out)["directions"] == ["forward", "backward"]


class Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def test_a_malicious_file_is_refused_and_nothing_is_left(foreign: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    torch.save({**weights(), "opt": Runs(f"touch {marker}")}, foreign / "lm_fwd.pth")
    done = run("import-lm", foreign, "--out", tmp_path / "lm")
    assert done.code == 2
    assert "asks for 'posix.system' and was not read" in done.err
    assert "Nothing in it was run." in done.err
    assert not marker.exists()
    assert not (tmp_path / "lm").exists()


def test_weights_that_are_not_there_are_told(foreign: Path, tmp_path: Path) -> None:
    there, none = foreign / "lm_fwd.pth", tmp_path / "none" / "fwd.pth"
    for given in ([none], [there, "--vocab", none], [there, "--backward", none]):
        done = run("import-lm", *given, "--out", tmp_path / "lm")
        assert done.code == 2
        assert done.err.startswith(f"Error: {none}: no such file, nor a folder {none.parent}")


def test_imported_weights_stay_what_they_are_unless_asked(foreign: Path, tmp_path: Path) -> None:
    out = tmp_path / "lm"
    assert run("import-lm", foreign, "--out", out).code == 0
    (theirs,) = [v for n, v in weights().items() if n == "0.encoder.weight"]
    ours = TrainedLM.load(out).weights["encoder.embedding.weight"]
    first, second = (TrainedLM.load(out).tokenizer.vocab.index(f"w{i}") for i in (0, 1))
    assert torch.equal(ours[[first, second]], theirs[[1, 2]])
    again = run("import-lm", foreign, "--out", out, "--store", "half")
    assert again.code == 0
    assert f"the model in {out} is replaced" in again.err
    assert load(out / "model.safetensors")["encoder.embedding.weight"].dtype == torch.float16


def test_directions_trained_apart_become_one_folder(foreign: Path, tmp_path: Path) -> None:
    there, back, both = tmp_path / "there", tmp_path / "back", tmp_path / "both"
    assert run("import-lm", foreign, "--out", there, "--info", "corpus=wiki").code == 0
    assert run("import-lm", foreign, "--out", back, "--direction", "backward").code == 0
    done = run("import-lm", there, "--backward", back, "--store", "8bit", "--out", both)
    assert done.code == 0, done
    assert done.out.startswith(f"Language model: {both} (forward and backward, 28 words")
    assert load(both / "model.safetensors")["encoder.embedding.weight"].dtype == torch.int8
    assert "corpus: wiki" in (both / "README.md").read_text()
    smaller = run("import-lm", both, "--out", tmp_path / "again", "--json")
    assert json.loads(smaller.out)["directions"] == ["forward", "backward"]
    alone = run("import-lm", back, "--out", tmp_path / "alone")
    assert "--direction backward" in alone.out
    wrong = run("import-lm", there, "--backward", there, "--out", back)
    assert wrong.code != 0
    assert "is replaced" not in wrong.err
    assert "has no backward direction" in wrong.err
    for twice in (back, both):
        done = run("import-lm", twice, "--backward", back, "--out", tmp_path / "x")
        assert done.code == 2
        assert f"{twice} has a backward direction already" in done.err
    first = run("import-lm", both, "--direction", "forward", "--out", tmp_path / "one", "--json")
    assert json.loads(first.out)["directions"] == ["forward"]
    same = run("import-lm", both, "--out", both)
    assert same.code == 2
    assert "is read, and cannot be written" in same.err
    shipped = run("import-lm", "en-small", "--out", tmp_path / "copy", "--json")
    assert json.loads(shipped.out)["directions"] == ["forward", "backward"]
    named = run("import-lm", there, "--vocab", foreign / "itos.pkl", "--out", tmp_path / "x")
    assert named.code == 2
    assert "a model of ulmfit has its own vocabulary" in named.err


def test_folders_of_others_may_have_a_config_too(foreign: Path, tmp_path: Path) -> None:
    (foreign / "config.json").write_text("{}")
    done = run("import-lm", foreign, "--vocab", foreign / "itos.pkl", "--out", tmp_path / "lm")
    assert done.code == 0, done


def test_a_folder_of_ours_is_joined_by_weights_of_others(foreign: Path, tmp_path: Path) -> None:
    there, vocabulary = tmp_path / "there", foreign / "itos.pkl"
    assert run("import-lm", foreign, "--out", there).code == 0
    done = run(
        *("import-lm", there, "--backward", foreign / "lm_fwd.pth", "--vocab", vocabulary),
        *("--out", tmp_path / "both", "--json"),
    )
    assert done.code == 0, done
    assert json.loads(done.out)["directions"] == ["forward", "backward"]


def test_scores_of_finer_weights_stay_behind(foreign: Path, tmp_path: Path) -> None:
    lm, text = tmp_path / "lm", tmp_path / "a.txt"
    text.write_text("w1 w2 w3 w4\n" * 20)
    assert run("import-lm", foreign, "--out", lm).code == 0
    assert run("evaluate-lm", lm, text, "--record", "mine", "-q").code == 0
    for store, kept in (("float32", True), ("8bit", False)):
        out = tmp_path / store
        assert run("import-lm", lm, "--store", store, "--out", out).code == 0
        assert ("mine: perplexity " in (out / "README.md").read_text()) is kept


def test_directions_of_other_words_are_refused(foreign: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    assert run("import-lm", foreign, "--out", there).code == 0
    (foreign / "itos.pkl").write_bytes(pickle.dumps(["_unk_", *(f"v{i}" for i in range(19))]))
    assert run("import-lm", foreign, "--out", back, "--direction", "backward").code == 0
    done = run("import-lm", there, "--backward", back, "--out", tmp_path / "both")
    assert done.code == 2
    assert "the two directions have different vocabularies: 28 entries (forward) and 28" in done.err
    assert not (tmp_path / "both").exists()
