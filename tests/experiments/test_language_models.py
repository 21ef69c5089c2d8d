from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.experiments.conftest import plan_of
from ulmfit.errors import SettingsError
from ulmfit.experiments.cells import Task, tasks_of
from ulmfit.experiments.language_models import (
    Site,
    base_lm,
    lm_digests,
    pretrain_lm,
    task_corpus,
    tune_lm,
)
from ulmfit.experiments.recipes import Scale, Variant
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.train.tracker import Silent


def made(variant: Variant, scale: Scale, site: Site) -> tuple[list[Task], TrainedLM]:
    """The language model that a variant's classifier starts from."""
    tasks = tasks_of(plan_of(variant, scale))
    for task in tasks:
        if task.kind == "pretrain" and not task.outcome(site.work).exists():
            pretrain_lm(task, site, Silent())
        if task.kind == "tune":
            tune_lm(task, site, Silent())
    return tasks, TrainedLM.load(tasks[-2].outcome(site.work))


def lstm(lm: TrainedLM) -> torch.Tensor:
    return lm.weights["encoder.rnns.0.weight_hh_l0"]


def test_pretrained_tuned_or_only_given_the_words_of_the_task(scale: Scale, site: Site) -> None:
    tasks, tuned = made(Variant(name="tuned"), scale, site)
    base = TrainedLM.load(tasks[0].outcome(site.work))
    assert tuned.metrics["steps"] > 0
    assert not torch.equal(lstm(tuned), lstm(base))
    _, untuned = made(Variant(name="none", finetune=False), scale, site)
    assert torch.equal(lstm(untuned), lstm(base))
    assert untuned.tokenizer.digest == tuned.tokenizer.digest, "the rows differ in nothing else"
    _, backward = made(Variant(name="back", directions=("backward",)), scale, site)
    assert backward.direction == "backward"


def test_random_weights_know_nothing_but_word_frequencies(scale: Scale, site: Site) -> None:
    variant = Variant(name="scratch", lm="random", finetune=False)
    _, lm = made(variant, scale, site)
    bias = lm.weights["decoder_bias"]
    assert bias.exp().sum() == pytest.approx(1.0, abs=1e-4)
    assert lm.tokenizer.vocab[int(bias.argmax())] in {"the", "was", "xxbos", "and", "."}
    assert (lm.config.emb_size, lm.config.hidden_size) == (6, 8)
    _, again = made(variant, scale, Site(site.work.parent / "other", cpu=True))
    assert torch.equal(lstm(lm), lstm(again))


def test_the_labelled_rows_alone_are_a_smaller_text(scale: Scale, site: Site) -> None:
    whole = plan_of(Variant(name="all"), scale)
    few = plan_of(Variant(name="few", text="labelled"), scale, low_shot=True)
    assert few.cell.labels == 8
    settings = whole.settings.finetune_lm
    assert settings is not None
    _, small, _ = task_corpus(few, None, settings, site)
    _, large, valid = task_corpus(whole, None, settings, site)
    assert small.n_docs == 8
    assert large.n_docs + (valid.n_docs if valid is not None else 0) == 72
    folders = {path.name for path in (site.work / "corpora").iterdir()}
    task_corpus(whole, None, settings, site)
    assert {path.name for path in (site.work / "corpora").iterdir()} == folders, "packed once"


def test_a_folder_brings_its_directions_and_their_digests(scale: Scale, site: Site) -> None:
    tasks, lm = made(Variant(name="tuned"), scale, site)
    folder = tasks[0].outcome(site.work)
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert lm_digests(folder) == {"forward": weights}
    at_hand = replace(site, lm=folder)
    shipped = scale.model_copy(update={"lm": "own"})
    task = tasks_of(plan_of(Variant(name="x"), shipped))[0]
    assert task.kind == "tune"
    assert base_lm(task, at_hand).config == lm.config.model_copy(
        update={"vocab_size": base_lm(task, at_hand).config.vocab_size}
    )
    backward = replace(task, direction="backward")
    with pytest.raises(SettingsError, match="language model 'model' has no backward direction"):
        base_lm(backward, at_hand)


def test_work_goes_below_the_work_folder_only(scale: Scale, site: Site, tmp_path: Path) -> None:
    made(Variant(name="tuned"), scale, site)
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    assert {path.name for path in site.work.iterdir()} == {"corpora", "pretrain", "tune"}
