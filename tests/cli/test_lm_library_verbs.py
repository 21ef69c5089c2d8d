from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

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
    shipped = run("evaluate-lm", "lm", data / "test.csv", *options)
    assert shipped.code == 2
    assert "--record would write into the installed language model 'lm'" in shipped.err
    (tiny_lm / "backward" / "README.md").write_text("my own words")
    found = json.loads(run("evaluate-lm", tiny_lm, data / "test.csv", *options).out)
    assert found["directions"]["forward"]["documents"] == 5
    assert (tiny_lm / "model.safetensors").read_bytes() == before
    assert "forward on five rows: perplexity " in run("lms").out
    assert "five rows: " in (tiny_lm / "README.md").read_text()
    assert (tiny_lm / "backward" / "README.md").read_text() == "my own words"


def test_text_without_spaces_has_no_figures_per_word(tiny_lm: Path, tmp_path: Path) -> None:
    path = tmp_path / "zh.txt"
    path.write_text("这部电影非常好看我很喜欢它的故事和演员表演得也很自然\n" * 20)
    done = run("evaluate-lm", tiny_lm, path, "-q")
    assert done.code == 0, done
    assert "per word" not in done.out
    assert "bits per character" in done.out
    lm = tmp_path / "lm"
    shutil.copytree(tiny_lm, lm)
    done = run("evaluate-lm", lm, path, "--record", "zh", "--json")
    assert "per word" not in done.err
    assert "characters: " in done.err
    forward = json.loads(done.out)["directions"]["forward"]
    assert "word_perplexity" not in forward
    assert 0 <= forward["unknown_share"] <= 1
    assert "zh: " in (lm / "README.md").read_text()
    assert "bits per character (20 documents)" in (lm / "README.md").read_text()
    assert "--record has no name" in run("evaluate-lm", lm, path, "--record", " ").err


def test_wikitext_is_made_natural_text_first(tiny_lm: Path, tmp_path: Path) -> None:
    path = tmp_path / "wiki.jsonl"
    path.write_text(json.dumps({"text": WIKITEXT}) + "\n")
    refused = run("evaluate-lm", tiny_lm, path)
    assert refused.code == 2
    assert "is tokenised like WikiText (it has ' @-@ ' or ' @,@ ')" in refused.err
    assert "Add --wikitext" in refused.err
    done = run("evaluate-lm", tiny_lm, path, "--wikitext", "-q")
    assert done.code == 0, done
    words = len(["A", "title", "The", "film", "was", "a", "well-made", "story,", "with", "<unk>."])
    assert f"1 document, {words} white-space words" in done.out
    assert done.out.rstrip().endswith("1 <unk> in the text itself")
