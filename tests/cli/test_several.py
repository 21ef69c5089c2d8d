"""Verbs under torchrun."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.rank_runs import in_ranks, values
from ulmfit import ranks
from ulmfit.apps.language_models import save_lms
from ulmfit.cli.main import app
from ulmfit.cli.several import meet_others
from ulmfit.errors import SettingsError, StoppedElsewhere


def test_alone_every_verb_runs() -> None:
    meet_others("predict", ["-"], trains=False)
    assert ranks.size() == 1


def test_a_verb_that_does_not_train_refuses_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(SettingsError) as caught:
        meet_others("predict", [], trains=False)
    assert str(caught.value) == (
        "2 processes were started for `ulmfit predict`: expected one. Start it without torchrun: "
        "only training can be shared by several processes."
    )
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(StoppedElsewhere):
        meet_others("predict", [], trains=False)


def meet(*given: object) -> int:
    meet_others("train", given, trains=True)
    return ranks.size()


def test_verbs_that_train_meet(tmp_path: Path) -> None:
    assert values(in_ranks(2, meet, tmp_path, "data.csv", 5, None, ["more.txt"])) == [2, 2]


@pytest.mark.parametrize("given", ["-", ["more.txt", "-"]])
def test_standard_input_is_refused(given: object, tmp_path: Path) -> None:
    first, second = in_ranks(2, meet, tmp_path, given)
    assert first.error.startswith("InputError: standard input cannot be shared by several")
    assert (first.speaks, second.speaks) == (True, False)


QUICK = """
[finetune_lm]
epochs = 1
least_steps = 1
min_freq = 1
bptt = 6
dropouts = {output_p = 0, hidden_p = 0, input_p = 0, embed_p = 0, weight_p = 0}

[classifier]
epochs = 2
chunk = 4
head_size = 5
head_p = [0, 0]
dropouts = {output_p = 0, hidden_p = 0, input_p = 0, embed_p = 0, weight_p = 0}
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with labelled texts, two language models and settings without dropout."""
    texts, labels = tiny.labelled_texts(90)
    rows = "".join(f'"{text}",{label}\n' for text, label in zip(texts, labels, strict=True))
    (tmp_path / "texts.csv").write_text(f"text,label\n{rows}")
    (tmp_path / "settings.toml").write_text(QUICK)
    words = tiny.tokenizer()
    forward, backward = tiny.trained_lm(words), tiny.trained_lm(words, "backward", seed=1)
    save_lms({"forward": forward, "backward": backward}, tmp_path / "lm")
    return tmp_path


def command(verb: str, folder: Path, out: str, batch_size: int, *more: str) -> list[str]:
    """A verb on the files; `out` is in their folder."""
    settings = {
        "finetune_lm": {"softmax_samples": "none", "batch_size": batch_size},
        "classifier": {"max_tokens": "none", "batch_size": batch_size},
    }
    idle = {"finetune-lm": "classifier", "finetune-classifier": "finetune_lm"}.get(verb)
    changes = [
        part
        for stage, values in settings.items()
        if stage != idle
        for key, value in values.items()
        for part in ("--set", f"{stage}.{key}={value}")
    ]
    paths = ["--lm", str(folder / "lm"), "--out", str(folder / out)]
    kind = ["--config", str(folder / "settings.toml"), "--device", "cpu", "--precision", "float32"]
    return [verb, str(folder / "texts.csv"), *paths, *kind, *changes, *more]


def use(arguments: list[str]) -> None:
    """Run the command in this process, which may be one of several."""
    app(arguments, standalone_mode=ranks.size() > 1)


def records(model: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (model / "log.jsonl").read_text().splitlines()]


def test_train_in_two_processes_learns_as_in_one(
    files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    use(command("train", files, "one", 8, "--quiet", "--json", "--no-report", "--no-baseline"))
    expected = json.loads(capfd.readouterr().out)
    arguments = command("train", files, "two", 4, "--json", "--no-report", "--no-baseline")
    first, second = in_ranks(2, use, files / "outcomes", arguments)
    assert (first.code, second.code) == (0, 0), first.err
    found = json.loads(first.out)
    assert (second.out, second.err) == ("", "")
    assert found["test_rows_from"] == expected["test_rows_from"]
    assert found["test"]["rows"] == expected["test"]["rows"] > 0
    assert "backward classifier: 73 documents" in first.err
    assert "at the same time" not in first.err
    one, two = records(files / "one"), records(files / "two")
    assert {record["stage"] for record in one} == {
        f"{direction}/{stage}"
        for direction in ("forward", "backward")
        for stage in ("lm", "classifier")
    }
    for a, b in zip(one, two, strict=True):
        assert a.pop("stage") == b.pop("stage")
        assert a == pytest.approx(b, rel=5e-5)
    assert not (files / "two" / "training").exists()


def test_a_wrong_name_is_told_once(files: Path) -> None:
    arguments = command("finetune-lm", files, "two", 4, "--lm", "nobody")
    first, second = in_ranks(2, use, files / "outcomes", arguments)
    assert (first.code, second.code) == (2, 2)
    assert "language model 'nobody' is neither a name" in first.err
    assert second.err == ""


def other_texts(first: list[str], second: list[str]) -> None:
    use(second if ranks.rank() else first)


def test_processes_with_other_data_are_refused(files: Path) -> None:
    lines = (files / "texts.csv").read_text().splitlines(keepends=True)
    (files / "fewer.csv").write_text("".join(lines[:-1]))
    arguments = command("finetune-lm", files, "two", 4)
    others = [arguments[0], str(files / "fewer.csv"), *arguments[2:]]
    first, second = in_ranks(2, other_texts, files / "outcomes", arguments, others)
    assert (first.code, second.code) == (2, 2)
    assert "Error: process 1 has other text (the corpus has changed) than the first" in second.err
    assert "Error" not in first.err
    assert not (files / "two").exists()
