"""Stage 2: the task's vocabulary, its held-out part, and the fine-tuned model."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tiny
from tests.displays import Notes
from ulmfit.data.corpus import TokenCorpus
from ulmfit.data.rules import SPECIALS
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.presets import load_settings
from ulmfit.settings import FinetuneLMSettings, RateSettings
from ulmfit.stages import finetune_lm as stage
from ulmfit.stages.finetune_lm import (
    adapted_model,
    finetune_lm,
    fitted_to_length,
    is_held_out,
    pack_task_corpus,
    task_tokenizer,
)
from ulmfit.train.evaluate import score_language_model

TASK = ["a cat sat on the mat", "a dog sat on the log", "the zebra sat"]


@pytest.fixture(scope="module")
def base() -> Tokenizer:
    return Tokenizer.train(["the cat and the king"] * 3, kind="word", vocab_size=50, min_freq=1)


def settings(**changes: object) -> FinetuneLMSettings:
    return FinetuneLMSettings.model_validate(
        {"min_freq": 1, "least_steps": 1, "vocab": "task", **changes}
    )


def words(tokenizer: Tokenizer) -> list[str]:
    """The vocabulary without the marks and the counts of repetitions."""
    return [word for word in tokenizer.vocab if word not in SPECIALS and not word.isdigit()]


def test_the_tasks_words_are_the_vocabulary(base: Tokenizer) -> None:
    found = task_tokenizer(base, lambda: TASK, settings())
    assert "zebra" in words(found)
    assert "king" not in words(found)
    frequent = task_tokenizer(base, lambda: TASK, settings(min_freq=2))
    assert set(words(frequent)) == {"a", "on", "sat", "the"}


def test_the_pretrained_words_can_stay(base: Tokenizer) -> None:
    found = task_tokenizer(base, lambda: TASK, settings(vocab="union"))
    task_only = task_tokenizer(base, lambda: TASK, settings())
    assert found.vocab[: task_only.vocab_size] == task_only.vocab
    assert set(words(found)) == set(words(task_only)) | set(words(base))
    cut = task_tokenizer(base, lambda: TASK, settings(vocab="union", max_vocab=25))
    assert cut.vocab == found.vocab[:25]


def test_subwords_stay_as_they_are() -> None:
    texts, _ = tiny.labelled_texts(50)
    subwords = Tokenizer.train(texts, kind="bpe", vocab_size=80, min_freq=1)
    assert task_tokenizer(subwords, lambda: TASK, settings()) is subwords


def test_about_the_wanted_share_is_held_out() -> None:
    texts = [f"text number {i}" for i in range(4000)]
    held = [is_held_out(text, 0.1) for text in texts]
    assert np.mean(held) == pytest.approx(0.1, abs=0.02)
    more = [is_held_out(text, 0.2) for text in texts]
    assert all(b for a, b in zip(held, more, strict=True) if a)
    assert not any(is_held_out(text, 0.0) for text in texts)
    assert is_held_out("a lone surrogate \ud800", 0.99) in (True, False)


def test_held_out_text_is_packed_apart(
    base: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "MIN_VALID_TOKENS", 20)
    texts = [f"the cat {i} and the king" for i in range(100)]
    train, valid = pack_task_corpus(lambda: texts, base, 0.3, tmp_path)
    assert valid is not None
    assert train.n_docs + valid.n_docs == 100
    held = [i for i, text in enumerate(texts) if is_held_out(text, 0.3)]
    assert valid.n_docs == len(held)
    np.testing.assert_array_equal(valid.document(0), base.encode(texts[held[0]]))
    np.testing.assert_array_equal(TokenCorpus.open(tmp_path / "valid").ids, valid.ids)


def test_too_little_to_hold_out_means_training_on_all(base: Tokenizer, tmp_path: Path) -> None:
    texts = [f"the cat {i} and the king" for i in range(100)]
    train, valid = pack_task_corpus(lambda: texts, base, 0.3, tmp_path)
    assert valid is None
    assert train.n_docs == 100
    # A run that is resumed looks for it there.
    assert not (tmp_path / "valid").exists()
    train, valid = pack_task_corpus(lambda: texts, base, 0.0, tmp_path)
    assert (train.n_docs, valid) == (100, None)


def test_a_document_that_is_most_of_the_text_is_for_training(
    base: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "MIN_VALID_TOKENS", 20)
    held_out = next(book for n in count() if is_held_out(book := f"{n} " + "the cat " * 500, 0.1))
    for before in (0, 1):
        texts = ["the king and the cat " * 20] * before + [held_out]
        train, valid = pack_task_corpus(partial(list, texts), base, 0.1, tmp_path)
        assert (train.n_docs, valid) == (len(texts), None)


def test_known_words_keep_their_vectors_and_new_ones_get_the_mean(base: Tokenizer) -> None:
    lm = tiny.trained_lm(base)
    target = task_tokenizer(base, lambda: TASK, settings())
    model = adapted_model(lm, target.vocab, settings(dropouts={"weight_p": 0.4}))
    before, after = lm.weights["encoder.embedding.weight"], model.encoder.embedding.weight
    for word in ("the", "cat", "xxbos"):
        old, new = base.vocab.index(word), target.vocab.index(word)
        assert torch.equal(after[new].detach(), before[old])
    torch.testing.assert_close(after[target.vocab.index("zebra")].detach(), before.mean(dim=0))
    assert model.config.vocab_size == target.vocab_size
    assert model.encoder.dropouts.weight_p == 0.4
    recurrent = "encoder.rnns.0.weight_hh_l0"
    assert torch.equal(model.state_dict()[recurrent], lm.weights[recurrent])


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_fine_tuning_makes_the_text_more_likely(direction: str, tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    lm = tiny.trained_lm(tokenizer, direction)  # type: ignore[arg-type]
    before = {name: value.clone() for name, value in lm.weights.items()}
    train, valid = tiny.corpus(tokenizer, 60), tiny.corpus(tokenizer, 20, seed=3)
    config = settings(
        epochs=10,
        batch_size=8,
        bptt=8,
        rates=RateSettings(lr=0.05, kind="uniform"),
        dropouts=tiny.NO_DROPOUT,
    )
    tuned = finetune_lm(
        lm, tokenizer, train, valid, config, tiny.context(tmp_path, checkpoint_seconds=1e9)
    )
    backward = direction == "backward"
    scores = [
        score_language_model(one.model(tiny.NO_DROPOUT).eval(), valid, backward=backward)
        for one in (lm, tuned)
    ]
    assert scores[1].perplexity < 0.5 * scores[0].perplexity
    assert tuned.metrics["perplexity"] == pytest.approx(scores[1].perplexity, rel=1e-6)
    for name, value in scores[1].figures().items():
        assert tuned.metrics[name] == pytest.approx(value, rel=1e-6)
    assert tuned.direction == direction
    assert tuned.info["settings"]["epochs"] == 10
    json.dumps(tuned.info)
    # The language model that was given is still what it was.
    assert all(torch.equal(before[name], lm.weights[name]) for name in before)


@pytest.mark.parametrize(("share", "passes"), [(0.5, 0.5), (1.5, 1.5), (None, 5)])
def test_of_the_passes_those_that_are_made_are_told(
    share: float | None, passes: float, tmp_path: Path
) -> None:
    tokenizer, notes = tiny.tokenizer(), Notes()
    train = tiny.corpus(tokenizer, 60)
    most = None if share is None else int(share * train.n_tokens)
    config = settings(max_tokens=most, batch_size=4, bptt=2)
    context = replace(tiny.context(tmp_path, checkpoint_seconds=1e9), display=notes)
    tuned = finetune_lm(tiny.trained_lm(tokenizer), tokenizer, train, None, config, context)
    assert tuned.metrics["passes"] == pytest.approx(passes, abs=0.02)
    assert f"- epochs: {tuned.metrics['passes']:g}\n" in tuned.card()
    cut = [
        f"{passes:g} epochs instead of 5, because there is much to read (finetune_lm.max_tokens)",
    ]
    assert [line for line in notes.lines if "instead of" in line] == (cut if share else [])


@pytest.mark.parametrize(
    ("epochs", "max_tokens", "share"),
    [
        (8, None, 1.0),
        (6, None, 0.5),
        (4, None, 0.5),
        (2, None, 0.2),
        (8, 3_000, 0.5),
        (8, 300, 0.2),
        (1, None, 0.2),
    ],
)
def test_a_text_that_is_read_few_times_is_regularized_less(
    epochs: int, max_tokens: int | None, share: float
) -> None:
    asked = settings(epochs=epochs, max_tokens=max_tokens)
    found = fitted_to_length(asked, n_tokens=1_000)
    assert found.dropouts == asked.dropouts.scaled(share)
    assert (found.ar_alpha, found.tar_beta) == (asked.ar_alpha * share, asked.tar_beta * share)
    assert found.rates == asked.rates
    as_set = asked.model_copy(update={"by_length": False})
    assert fitted_to_length(as_set, n_tokens=1_000) == as_set


@pytest.mark.parametrize(
    ("n_tokens", "passes"), [(0, 5), (20_000, 5), (50_000, 4), (62_000, 3), (9_000_000, 3)]
)
def test_a_longer_text_is_read_fewer_times(n_tokens: int, passes: int) -> None:
    assert fitted_to_length(FinetuneLMSettings(), n_tokens).epochs == passes
    as_set = FinetuneLMSettings(by_length=False)
    assert fitted_to_length(as_set, n_tokens).epochs == 5
    assert fitted_to_length(FinetuneLMSettings(epochs=8), n_tokens).epochs == 8


def test_what_somebody_has_chosen_stays_even_if_it_is_the_default() -> None:
    usual = FinetuneLMSettings()
    assert fitted_to_length(usual, 100_000).epochs < usual.epochs
    chosen = load_settings(overrides={"finetune_lm.epochs": usual.epochs}).finetune_lm
    assert chosen is not None
    found = fitted_to_length(pickle.loads(pickle.dumps(chosen)), 100_000)
    assert found.epochs == usual.epochs
    assert found.dropouts != usual.dropouts
    part = load_settings(overrides={"finetune_lm.dropouts.output_p": usual.dropouts.output_p})
    assert part.finetune_lm is not None
    assert fitted_to_length(part.finetune_lm, 100_000).dropouts == usual.dropouts


def test_a_long_text_takes_all_layers_further() -> None:
    def rates(**changes: object) -> RateSettings:
        return fitted_to_length(settings(**changes), n_tokens=1_000_000).rates

    assert rates(epochs=2) == stage.LONG_TEXT_RATES
    assert rates(epochs=3) == settings().rates
    own = RateSettings(lr=1e-3)
    assert rates(epochs=2, rates=own.model_dump()) == own, "what is set stays as it is"
