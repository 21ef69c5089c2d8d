from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.displays import Notes
from ulmfit.apps.corpus_facts import measure_corpus
from ulmfit.apps.language_models import finetune_lms, pretrain_lms, save_lms
from ulmfit.apps.packed_corpus import pack_corpus
from ulmfit.apps.pretrained import resolve_lms
from ulmfit.apps.run import TrainingRun
from ulmfit.config import Direction
from ulmfit.data.corpus import TokenCorpus
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError, SettingsError
from ulmfit.runtime import make_accelerator
from ulmfit.settings import FinetuneLMSettings, PretrainSettings, TextSettings
from ulmfit.stages.finetune_lm import is_held_out
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.train.tracker import Silent

PRETRAIN = PretrainSettings(
    text=TextSettings(min_freq=1),
    emb_size=6,
    hidden_size=8,
    n_layers=2,
    batch_size=8,
    bptt=7,
    softmax_samples=None,
    valid_fraction=0.2,
)
TEXTS = tiny.labelled_texts(200)[0]


def run_in(work: Path) -> TrainingRun:
    return TrainingRun(work, make_accelerator(cpu=True), Silent())


def test_both_directions_from_text_to_one_folder_and_on_to_fine_tuning(tmp_path: Path) -> None:
    lms = pretrain_lms(
        lambda: iter(TEXTS),
        PRETRAIN,
        ["forward", "backward"],
        run_in(tmp_path / "pretrain"),
        info={"corpus": "sentences"},
    )
    for direction, lm in lms.items():
        assert (lm.direction, lm.info["corpus"]) == (direction, "sentences")
        assert lm.metrics["perplexity"] < lm.config.vocab_size
    save_lms(lms, tmp_path / "lm")
    base = resolve_lms(tmp_path / "lm", ["forward", "backward"])
    assert torch.equal(
        base["backward"].weights["decoder_bias"], lms["backward"].weights["decoder_bias"]
    )

    run = run_in(tmp_path / "tune")
    run.claim({})
    settings = FinetuneLMSettings(epochs=1, batch_size=8, bptt=7, min_freq=1)
    tuned = finetune_lms(base, lambda: ["a sad song about a new word", *TEXTS], settings, run)
    assert list(tuned) == ["forward", "backward"]
    assert "word" in tuned["forward"].tokenizer.vocab
    assert tuned["forward"].tokenizer.digest == tuned["backward"].tokenizer.digest


def test_eight_bits_a_weight_are_near_the_full_ones(tmp_path: Path) -> None:
    words = tiny.tokenizer()
    lm = tiny.trained_lm(words)
    save_lms({"forward": lm}, tmp_path / "lm", store="8bit")
    stored = resolve_lms(tmp_path / "lm", ["forward"])["forward"].weights
    for name, value in lm.weights.items():
        largest = value.abs().amax(dim=-1, keepdim=True)
        assert ((stored[name] - value).abs() <= largest / 127 / 2 + 1e-7).all(), name


def test_held_out_text_is_a_share_of_the_documents_or_what_is_given(tmp_path: Path) -> None:
    seen = {}
    for name, valid in (("share", None), ("given", lambda: iter(TEXTS[:40]))):
        work = tmp_path / name
        pretrain_lms(lambda: iter(TEXTS), PRETRAIN, ["forward"], run_in(work), valid=valid)
        seen[name] = TokenCorpus.open(work / "corpus" / "valid").n_docs
    share = sum(is_held_out(text, PRETRAIN.valid_fraction) for text in TEXTS)
    assert seen == {"share": share, "given": 40}


def test_too_little_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokens to train on.*Give more text"):
        pretrain_lms(lambda: iter(["one", "two"]), PRETRAIN, ["forward"], run_in(tmp_path / "w"))


def test_learning_subwords_is_told_as_it_shows_no_progress(tmp_path: Path) -> None:
    told = {}
    for kind in ("bpe", "word"):
        text = TextSettings.model_validate({"kind": kind, "vocab_size": 200, "min_freq": 1})
        run = replace(run_in(tmp_path / kind), display=(notes := Notes()))
        settings = PRETRAIN.model_copy(update={"text": text})
        pretrain_lms(lambda: iter(TEXTS), settings, ["forward"], run)
        told[kind] = any(line.startswith("learning the subwords") for line in notes.lines)
    assert told == {"bpe": True, "word": False}


def test_a_start_of_other_sizes_is_an_error(tmp_path: Path) -> None:
    start: dict[Direction, TrainedLM] = {"forward": tiny.trained_lm(tiny.tokenizer())}
    other = PRETRAIN.model_copy(update={"hidden_size": 9})
    with pytest.raises(SettingsError, match="the language model to start from has sizes"):
        pretrain_lms(lambda: iter(TEXTS), other, ["forward"], run_in(tmp_path / "w"), start=start)


def test_a_resumed_run_has_the_held_out_text_that_it_began_with(tmp_path: Path) -> None:
    work = tmp_path / "w"
    pretrain_lms(
        lambda: iter(TEXTS), PRETRAIN, ["forward"], run_in(work), valid=lambda: iter(TEXTS[:40])
    )
    again = replace(run_in(work), resume=True)
    for other in (None, lambda: iter(TEXTS[:41])):
        with pytest.raises(SettingsError, match=r"differs in held-out text \(it has changed\)"):
            pretrain_lms(lambda: iter(TEXTS), PRETRAIN, ["forward"], again, valid=other)


def test_a_packed_corpus_of_other_words_than_the_start_is_refused_first(tmp_path: Path) -> None:
    packed = tmp_path / "x.packed"
    facts = measure_corpus(lambda: TEXTS)
    pack_corpus(lambda: TEXTS, lambda: TEXTS[:60], PRETRAIN, facts, packed)
    words = Tokenizer.train(["quite other words"], min_freq=1)
    start: dict[Direction, TrainedLM] = {"forward": tiny.trained_lm(words)}
    with pytest.raises(SettingsError, match=r"has a different vocabulary.*Pack the corpus again"):
        pretrain_lms(packed, PRETRAIN, ["forward"], run_in(tmp_path / "w"), start=start)
    assert not (tmp_path / "w").exists()


def test_where_a_start_came_from_is_told(tmp_path: Path) -> None:
    info = {"corpus": "encyclopedia", "licence": "CC BY-SA", "settings": {"epochs": 1}}
    begin = replace(tiny.trained_lm(tiny.tokenizer()), info=info)
    settings = PRETRAIN.model_copy(
        update=begin.config.model_dump(exclude={"vocab_size"}) | {"max_tokens": 60}
    )
    start: dict[Direction, TrainedLM] = {"forward": begin}
    found = pretrain_lms(
        lambda: iter(TEXTS), settings, ["forward"], run_in(tmp_path / "w"), start=start
    )
    assert found["forward"].info["started from a model of"] == "encyclopedia"
    assert found["forward"].info["licence of that model"] == "CC BY-SA"
