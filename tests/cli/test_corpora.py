from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import run, settings
from ulmfit.cli.corpora import (
    HELD_OUT,
    PACKED,
    STARTED,
    TIMED,
    TO_PACK,
    refuse_idle,
    require_times,
)
from ulmfit.errors import SettingsError

WIKITEXT = " = A title = \n \n The film was a well @-@ made story , with <unk> .\n"


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_is_a_number_above_zero(value: float) -> None:
    with pytest.raises(SettingsError, match=r"--hours .*: expected a number above 0"):
        require_times({"--hours": value})
    require_times({"--hours": None, "--stop-after": 0.001})


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("pretrain.text.kind", PACKED),
        ("pretrain.valid_fraction", PACKED),
        ("pretrain.valid_fraction", HELD_OUT),
        ("pretrain.hidden_size", STARTED),
        ("pretrain.epochs", TIMED),
        ("pretrain.epochs", TO_PACK),
        ("pretrain.emb_size", TO_PACK),
    ],
)
def test_a_setting_that_something_else_decides_is_refused(name: str, who: str) -> None:
    with pytest.raises(SettingsError, match=rf"--set {name} changes nothing here: {who} decides"):
        refuse_idle([f"{name}=1"], {who: True})
    refuse_idle([f"{name}=1"], {who: False})
    everything = dict.fromkeys((PACKED, STARTED, TIMED, HELD_OUT), True)
    refuse_idle(["pretrain.batch_size=8"], everything)
    refuse_idle(["pretrain.text.kind=bpe"], {TO_PACK: True, HELD_OUT: True})


def test_settings_of_other_stages_are_refused(data: Path, tmp_path: Path) -> None:
    for verb, key, good in (
        ("pretrain", "classifier.epochs", "pretrain"),
        ("pack", "finetune_lm.epochs", "pretrain"),
        ("finetune-lm", "pretrain.epochs", "finetune_lm"),
    ):
        done = run(verb, data / "more.txt", "--set", f"{key}=3", "--out", tmp_path / "x")
        assert done.code == 2
        assert f"--set {key} changes nothing here" in done.err
        assert f"Expected: a setting of {good}\n" in done.err


def test_wikitext_has_to_be_named_and_becomes_natural_text(tmp_path: Path) -> None:
    path, out = tmp_path / "wiki.jsonl", tmp_path / "wiki.packed"
    rows = [WIKITEXT.replace("title", f"title {i}") for i in range(300)]
    path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    for verb in ("pretrain", "pack"):
        refused = run(verb, path, "--out", out)
        assert refused.code == 2
        assert "Add --wikitext" in refused.err
    changes = settings({"pretrain.text.min_freq": "1", "pretrain.valid_fraction": "0.2"})
    done = run("pack", path, "--wikitext", "--out", out, "--json", *changes)
    assert done.code == 0, done
    assert json.loads(done.out)["corpus"]["words"] == sum(10 + 1 for _ in rows)
    again = run("pretrain", out, "--wikitext", "--out", tmp_path / "lm")
    assert again.code == 2
    assert "--wikitext are options of `ulmfit pack`" in again.err
