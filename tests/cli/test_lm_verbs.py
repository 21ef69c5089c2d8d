from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import TINY_LM, run, settings


def test_pretraining_ends_with_both_directions(tiny_lm: Path) -> None:
    for folder in (tiny_lm, tiny_lm / "backward"):
        assert json.loads((folder / "metrics.json").read_text())["perplexity"] < 60
        config = json.loads((folder / "config.json").read_text())
        assert config["info"]["vocabulary"] == "word"
    assert not (tiny_lm / "training").exists()


def test_pretraining_says_what_came_out(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "lm"
    changes = {key: value for key, value in TINY_LM.items() if "valid" not in key}
    options = ["--direction", "backward", "--valid", data / "test.csv", *settings(changes)]
    done = run("pretrain", data / "more.txt", data / "train.csv", "--out", out, *options)
    assert done.code == 0, done
    head, row, _, place, _, title, example, *more = done.out.splitlines()
    names = ["direction", "vocabulary", "perplexity", "per", "word", "bits/char"]
    assert head.split() == names
    assert ["finetune-lm" in more[0], "evaluate-lm" in more[1]] == [True, True]
    assert row.split()[0] == "backward"
    assert place == f"Language model: {out}"
    assert title == "Next:"
    assert example.endswith(f"train DATA --lm {out} --direction backward")
    assert "backward language model" in done.err
    assert "plan: at most 60 words, 12 / 16 x 2, batch 8 x 20, 2 passes (" in done.err
    assert "  sample: ... " in done.err


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
    done = run(
        *("finetune-lm", data / "train.csv", "--lm", tiny_lm, "--out", out, "--resume"),
        *changes,
    )
    assert (done.code, done.out) == (0, "")
    assert "this run is finished already" in done.err


def test_a_text_too_short_to_hold_some_out_is_told(
    data: Path, tiny_lm: Path, tmp_path: Path
) -> None:
    text = tmp_path / "a.txt"
    text.write_text("a few words\n")
    done = run("finetune-lm", text, "--lm", tiny_lm, "--out", tmp_path / "lm")
    assert done.code == 0, done
    assert "tokens of task text, no part held out to measure perplexity" in done.err


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
    assert f"the run in '{out / 'training'}' differs in text (the corpus has changed)" in done.err
    corpus.write_text(text)
    assert run(*command, *changes, "--resume").code == 1


SHORT = {
    "pretrain.epochs": "1",
    "pretrain.batch_size": "8",
    "pretrain.valid_fraction": "0.2",
}


def test_a_filter_a_start_and_a_resume(data: Path, tiny_lm: Path, tmp_path: Path) -> None:
    corpus, out = tmp_path / "all.jsonl", tmp_path / "lm"
    lines = (data / "more.txt").read_text().splitlines()
    rows = [{"text": line, "source": "abc"[i % 3]} for i, line in enumerate(lines)]

    def write() -> None:
        corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))

    write()
    options = [
        *("pretrain", corpus, "--where", "source=a,b", "--start", tiny_lm, "--out", out),
        *("--direction", "backward", "--info", "licence=CC0", "--precision", "float32", "--resume"),
        *settings(SHORT),
    ]
    stopped = run(*options, "--stop-after", "0.0001")
    assert stopped.code == 130, stopped
    assert "--resume" in stopped.err
    assert run(*options, "--direction", "forward").code == 2
    rows[0]["text"] += " again"
    write()
    changed = run(*options)
    assert changed.code == 2
    assert "differs in text (the corpus has changed)" in changed.err
    rows[0]["text"] = lines[0]
    write()
    done = run(*options, "--json")
    assert done.code == 0, done
    info = json.loads((out / "config.json").read_text())["info"]
    assert info["licence"] == "CC0"
    assert info["documents"] == sum(row["source"] in "ab" for row in rows)
    words = [(folder / "tokenizer.json").read_text() for folder in (out, tiny_lm)]
    assert words[0] == words[1]
    assert json.loads(run(*options, "--json").out) == {"model": str(out), "finished": True}
    rows[0]["text"] += " again"
    write()
    assert "is finished, and of other data or settings" in run(*options).err


def test_a_packed_corpus_and_a_time_budget(data: Path, tmp_path: Path) -> None:
    packed, out = tmp_path / "x.packed", tmp_path / "lm"
    vocabulary = settings({"pretrain.text.vocab_size": "60", "pretrain.valid_fraction": "0.1"})
    done = run("pack", data / "more.txt", "--out", packed, "--info", "licence=CC0", *vocabulary)
    assert done.code == 0, done
    assert done.out.startswith(f"{packed}: 0.0 MB, ")
    decided = ("epochs", "text", "valid_fraction")
    changes = settings(
        {name: value for name, value in TINY_LM.items() if not any(key in name for key in decided)}
    )
    done = run("pretrain", packed, "--hours", "0.02", "--out", out, *changes)
    assert done.code == 0, done
    entries = json.loads((out / "config.json").read_text())["lm"]["vocab_size"]
    assert f"plan: at most {entries} words, 12 / 16 x 2" in done.err
    assert " hours read " in done.err
    assert "licence: CC0" in (out / "README.md").read_text()
    assert (out / "backward" / "config.json").exists()
    again = run("pretrain", packed, data / "more.txt", "--out", out)
    assert again.code == 2
    assert "is a packed corpus" in again.err
    again = run("pretrain", packed, "--valid", data / "more.txt", "--out", out)
    assert again.code == 2
    assert "--valid and --wikitext are options of `ulmfit pack`" in again.err


def test_conditions_have_a_column_and_values(data: Path, tmp_path: Path) -> None:
    done = run("pretrain", data / "more.txt", "--where", "source", "--out", tmp_path / "lm")
    assert done.code == 2
    assert "--where 'source' has no '='" in done.err


def test_a_packed_corpus_that_cannot_be_written_is_refused_first(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(texts: object) -> None:
        raise AssertionError("the corpus is read")

    monkeypatch.setattr("ulmfit.apps.corpus_facts.measure_corpus", read)
    corpus = tmp_path / "more.txt"
    corpus.write_text("a film\n")
    (tmp_path / "notes.md").write_text("of years")
    for out, code, said in (
        (tmp_path, 2, "is a folder"),
        (corpus, 2, "is read, and cannot be written"),
        (corpus / "x.packed", 1, "file exists"),
        (tmp_path / "notes.md", 2, "exists and is not a packed corpus"),
    ):
        done = run("pack", corpus, "--out", out)
        assert (done.code, said in done.err.lower()) == (code, True), done
    assert corpus.read_text() == "a film\n"


def test_the_model_that_training_starts_from_is_not_replaced(data: Path, tiny_lm: Path) -> None:
    before = (tiny_lm / "model.safetensors").read_bytes()
    for verb, text, option in (
        ("finetune-lm", "more.txt", "--lm"),
        ("pretrain", "more.txt", "--start"),
        ("train", "train.csv", "--lm"),
        ("finetune-classifier", "train.csv", "--lm"),
    ):
        done = run(verb, data / text, option, tiny_lm, "--out", tiny_lm)
        assert done.code == 2
        assert f"'{tiny_lm}' is read, and cannot be written" in done.err
    assert (tiny_lm / "model.safetensors").read_bytes() == before


def test_packing_for_a_start_says_how_to_go_on_and_what_is_unknown(
    tiny_lm: Path, tmp_path: Path
) -> None:
    corpus, out = tmp_path / "german.txt", tmp_path / "german.packed"
    lines = (f"Das {n}. Spiel war gestern nicht besonders sehenswert." for n in range(900))
    corpus.write_text("\n".join(lines))
    held_out = ("--set", "pretrain.valid_fraction=0.1")
    done = run("pack", corpus, "--start", tiny_lm, *held_out, "--out", out)
    assert done.code == 0, done
    assert f"pretrain {out} --start {tiny_lm} --out lm" in done.out
    assert "the language model does not know " in done.err
