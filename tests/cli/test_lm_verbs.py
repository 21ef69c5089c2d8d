from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import TINY_LM, run, settings


def test_pretraining_ends_with_both_directions(tiny_lm: Path) -> None:
    for folder in (tiny_lm, tiny_lm / "backward"):
        assert json.loads((folder / "metrics.json").read_text())["perplexity"] < 60
        config = json.loads((folder / "config.json").read_text())
        assert config["info"]["vocabulary"] == "word"
    assert not (tiny_lm / "training").exists()


def test_pretraining_says_what_came_out(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "lm"
    options = ["--direction", "backward", "--valid", data / "test.csv", *settings(TINY_LM)]
    done = run("pretrain", data / "more.txt", data / "train.csv", "--out", out, *options)
    assert done.code == 0, done
    head, row, _, place, _, title, example = done.out.splitlines()
    assert head.split() == ["direction", "vocabulary", "perplexity"]
    assert row.split()[0] == "backward"
    assert place == f"Language model: {out}"
    assert title == "Next:"
    assert example.endswith(f"train DATA --lm {out} --direction backward")
    assert "backward language model" in done.err


def test_fine_tuning_keeps_to_the_words_of_the_text(
    data: Path, tiny_lm: Path, tmp_path: Path
) -> None:
    out = tmp_path / "lm"
    changes = settings({"finetune_lm.epochs": "1", "finetune_lm.batch_size": "8"})
    done = run(
        *("finetune-lm", data / "train.csv", "--lm", tiny_lm, "--out", out, "--json", "-q"),
        *changes,
    )
    assert done.code == 0, done
    found = json.loads(done.out)
    assert found["model"] == str(out)
    assert set(found["directions"]) == {"forward", "backward"}
    assert done.err == ""


def test_too_little_text_leaves_nothing_behind(tmp_path: Path) -> None:
    corpus = tmp_path / "a.txt"
    corpus.write_text("a few words\n")
    done = run("pretrain", corpus, "--out", tmp_path / "lm", *settings(TINY_LM))
    assert done.code == 2
    assert "Give more text." in done.err
    assert list(tmp_path.iterdir()) == [corpus]


def test_fine_tuning_that_the_settings_leave_out_is_refused(data: Path, tmp_path: Path) -> None:
    done = run(
        *("finetune-lm", data / "train.csv", "--out", tmp_path / "lm"),
        *("--set", "finetune_lm=none"),
    )
    assert done.code == 2
    assert done.err.startswith("Error: finetune_lm is none in these settings\n")


def test_a_run_that_fails_says_why_and_is_resumed_only_with_the_same_text(
    data: Path, tiny_lm: Path, tmp_path: Path
) -> None:
    out, corpus = tmp_path / "lm", tmp_path / "text.txt"
    text = (data / "more.txt").read_text()
    corpus.write_text(text)
    # No halving makes such a rate small enough.
    changes = settings({"finetune_lm.epochs": "1", "finetune_lm.rates.lr": "1e30"})
    command = ("finetune-lm", corpus, "--lm", tiny_lm, "--direction", "forward", "--out", out)
    done = run(*command, *changes)
    assert done.code == 1, done
    assert "5 times back at half the rate did not help" in done.err
    assert "Lower the learning rate" in done.err
    assert "back to step 0, learning rates times 0.5 from there on (1 of 5)" in done.err
    corpus.write_text(text.replace("film", "opera", 1))
    done = run(*command, *changes, "--resume")
    assert done.code == 2, done
    assert f"the run in '{out / 'training'}' was of other text (the corpus has changed)" in done.err
    corpus.write_text(text)
    assert run(*command, *changes, "--resume").code == 1
