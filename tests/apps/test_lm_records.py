from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import tiny
from ulmfit.apps.language_models import save_lms
from ulmfit.apps.lm_records import record_facts
from ulmfit.apps.pretrained import resolve_lms
from ulmfit.artifacts import read_folder
from ulmfit.errors import ModelFolderError


def test_scores_and_facts_are_added_and_the_weights_stay(tmp_path: Path) -> None:
    words, path = tiny.tokenizer(), tmp_path / "lm"
    pair = {d: tiny.trained_lm(words, d) for d in ("forward", "backward")}
    save_lms(pair, path, store="8bit")  # type: ignore[arg-type]
    before = read_folder(path)
    figures = {"spelled_word_perplexity": 12.34, "words": 10}
    record_facts(path, scores={"forward": {"some text": figures}}, info={"licence": "CC0"})
    record_facts(path, scores={"forward": {"other text": figures}})
    after = read_folder(path)
    for name in ("model.safetensors", "backward/model.safetensors", "tokenizer.json"):
        assert after.files[name] == before.files[name]
    lms = resolve_lms(path, None)
    assert list(lms["forward"].metrics["scores"]) == ["some text", "other text"]
    assert "scores" not in lms["backward"].metrics
    assert {lm.info["licence"] for lm in lms.values()} == {"CC0"}
    card = (path / "README.md").read_text()
    assert "- some text: perplexity 12.3 per word, unknown words spelled" in card
    assert "licence: CC0" in (path / "backward" / "README.md").read_text()


def test_a_broken_folder_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "lm"
    tiny.trained_lm(tiny.tokenizer()).save(path)
    (path / "metrics.json").write_text(json.dumps({"changed": 1}))
    with pytest.raises(ModelFolderError, match=r"metrics\.json was altered"):
        record_facts(path, info={"a": "b"})
