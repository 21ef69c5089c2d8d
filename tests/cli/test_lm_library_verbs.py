from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from tests.cli.conftest import run

WIKITEXT = " = A title = \n \n The film was a well @-@ made story , with <unk> .\n"


def test_language_models_are_listed(tiny_lm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulmfit.apps.pretrained.SHIPPED", tiny_lm.parent)
    done = run("lms")
    assert done.code == 0, done
    lines = done.out.splitlines()
    head = "name direction vocabulary size perplexity per word bits/char"
    assert " ".join(lines[0].split()) == head
    assert [line.split()[:2] for line in lines[1:3]] == [["lm", "forward"], ["lm", "backward"]]
    assert "lm: more.txt. Licence: unknown." in lines
    records = json.loads(run("lms", "--json").out)
    assert [record["direction"] for record in records] == ["forward", "backward"]
    for record in records:
        assert f"  {record['direction']} SHA-256 {record['sha256']}" in lines
        assert record["bits_per_char"] > 0


def test_no_language_models_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulmfit.apps.pretrained.SHIPPED", tmp_path)
    assert run("lms").out.startswith("No language models in this installation")
    assert json.loads(run("lms", "--json").out) == []


def test_a_text_is_scored_in_both_directions_and_recorded(
    tiny_lm: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("evaluate-lm", tiny_lm, data / "test.csv", "-q")
    assert done.code == 0, done
    lines = done.out.splitlines()
    assert lines[0].split() == ["forward", "backward"]
    assert lines[1].startswith("perplexity per word, unknown words spelled")
    assert lines[-1].startswith("40 documents, ")
    assert done.err == ""
    monkeypatch.setattr("ulmfit.apps.pretrained.SHIPPED", tiny_lm.parent)
    before = (tiny_lm / "model.safetensors").read_bytes()
    options = ("--limit", 5, "--json", "-q", "--record", "five rows")
    found = json.loads(run("evaluate-lm", "lm", data / "test.csv", *options).out)
    assert found["directions"]["forward"]["documents"] == 5
    assert (tiny_lm / "model.safetensors").read_bytes() == before
    assert "forward on five rows: perplexity " in run("lms").out


def test_wikitext_is_made_natural_text_first(tiny_lm: Path, tmp_path: Path) -> None:
    path = tmp_path / "wiki.jsonl"
    path.write_text(json.dumps({"text": WIKITEXT}) + "\n")
    refused = run("evaluate-lm", tiny_lm, path)
    assert refused.code == 2
    assert "is tokenised as WikiText is (it has ' @-@ ' or ' @,@ ')" in refused.err
    assert "Add --wikitext" in refused.err
    done = run("evaluate-lm", tiny_lm, path, "--wikitext", "-q")
    assert done.code == 0, done
    words = len(["A", "title", "The", "film", "was", "a", "well-made", "story,", "with", "<unk>."])
    assert f"1 documents, {words} white-space words" in done.out
    assert done.out.rstrip().endswith("1 <unk> in the text itself")


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
