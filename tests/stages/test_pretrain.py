"""Stage 1: vocabulary and corpora once, then a language model from scratch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError, Interrupted, SettingsError
from ulmfit.settings import PretrainSettings
from ulmfit.stages.pretrain import prepare_corpus, pretrain

TEXTS, _ = tiny.labelled_texts(60)
HELD_OUT, _ = tiny.labelled_texts(20, seed=8)


class Texts:
    """Counts how often it is opened."""

    def __init__(self, texts: list[str]) -> None:
        self.texts, self.n_opened = texts, 0

    def __call__(self) -> Iterator[str]:
        self.n_opened += 1
        return iter(self.texts)


def settings(**changes: Any) -> PretrainSettings:
    values: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 4,
        "bptt": 8,
        "emb_size": 6,
        "hidden_size": 8,
        "n_layers": 2,
        "text": {"min_freq": 1},
        "softmax_samples": None,
        "validate_every": None,
        "dropouts": tiny.NO_DROPOUT,
        "rates": {"lr": 0.05, "kind": "uniform"},
        **changes,
    }
    return PretrainSettings(**values)


def test_work_that_is_done_is_not_repeated(tmp_path: Path) -> None:
    texts, held_out = Texts(TEXTS), Texts(HELD_OUT)
    first = prepare_corpus(texts, held_out, settings(), tmp_path)
    assert (texts.n_opened, held_out.n_opened) == (2, 1)
    again = prepare_corpus(texts, held_out, settings(), tmp_path)
    assert (texts.n_opened, held_out.n_opened) == (2, 1)
    assert first[0].digest == again[0].digest
    assert [part.n_docs for part in again[1:]] == [60, 20]
    assert again[1].tokenizer_digest == again[0].digest


def test_a_vocabulary_whose_corpus_is_missing_is_kept(tmp_path: Path) -> None:
    # Killed while it was packing: the corpus has to be of the very vocabulary that was saved.
    saved = Tokenizer.train(["other words"], kind="word", vocab_size=50, min_freq=1)
    (tmp_path / "tokenizer.json").write_text(saved.to_json(), encoding="utf-8")
    tokenizer, train, _ = prepare_corpus(lambda: TEXTS, lambda: HELD_OUT, settings(), tmp_path)
    assert tokenizer.digest == saved.digest == train.tokenizer_digest


def test_a_corpus_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    prepare_corpus(lambda: TEXTS, lambda: HELD_OUT, settings(), tmp_path)
    other = Tokenizer.train(["other words"], kind="word", vocab_size=50, min_freq=1)
    (tmp_path / "tokenizer.json").write_text(other.to_json(), encoding="utf-8")
    with pytest.raises(InputError, match="was made with another tokenizer"):
        prepare_corpus(lambda: TEXTS, lambda: HELD_OUT, settings(), tmp_path)


def run(folder: Path, config: PretrainSettings, **changes: Any) -> Any:
    words = tiny.tokenizer()
    train, valid = tiny.corpus(words, 60), tiny.corpus(words, 20, seed=8)
    context = tiny.context(folder, checkpoint_seconds=1e9)
    options: dict[str, Any] = {"direction": "forward", "info": {"corpus": "tiny"}, **changes}
    return pretrain(words, train, valid, config, context, **options)


def test_a_language_model_from_scratch(tmp_path: Path) -> None:
    lm = run(tmp_path, settings(epochs=8))
    assert lm.config.model_dump() == {
        "vocab_size": lm.tokenizer.vocab_size,
        "emb_size": 6,
        "hidden_size": 8,
        "n_layers": 2,
    }
    assert lm.info["corpus"] == "tiny"
    assert lm.info["settings"]["epochs"] == 8
    assert lm.metrics.keys() == {
        "perplexity",
        "word_perplexity",
        "bits_per_char",
        "steps",
        "seconds",
        "passes",
    }
    assert lm.metrics["passes"] == 8
    # Better than the word frequencies alone, from which it starts.
    untrained = run(tmp_path / "untrained", settings(rates={"lr": 1e-9}))
    assert lm.metrics["perplexity"] < 0.8 * untrained.metrics["perplexity"]


def test_it_starts_from_the_word_frequencies(tmp_path: Path) -> None:
    lm = run(tmp_path, settings(rates={"lr": 1e-9}, epochs=1))
    words = tiny.tokenizer()
    counts = torch.bincount(
        torch.from_numpy(tiny.corpus(words, 60).ids.astype("int64")), minlength=words.vocab_size
    )
    expected = ((counts + 1) / (counts + 1).sum()).log()
    torch.testing.assert_close(lm.weights["decoder_bias"], expected, atol=1e-5, rtol=1e-5)


def test_the_seed_alone_decides_the_weights(tmp_path: Path) -> None:
    # The first run leaves torch's random numbers somewhere else.
    first, second = (run(tmp_path / name, settings(epochs=1)).weights for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_it_can_start_from_another_one(tmp_path: Path) -> None:
    first = run(tmp_path / "first", settings())
    still = settings(epochs=1, rates={"lr": 1e-12}, optimizer={"weight_decay": 0.0})
    second = run(tmp_path / "second", still, start=first, direction="backward")
    assert second.direction == "backward"
    for name, value in first.weights.items():
        torch.testing.assert_close(second.weights[name], value, atol=1e-6, rtol=1e-6)


def test_a_run_goes_on_only_from_the_model_that_it_began_with(tmp_path: Path) -> None:
    first = run(tmp_path / "first", settings(epochs=1))
    words = tiny.tokenizer()
    train, valid = tiny.corpus(words, 60), tiny.corpus(words, 20, seed=8)
    work = tiny.context(tmp_path / "second")
    info: dict[str, object] = {}
    with pytest.raises(Interrupted):
        pretrain(
            words,
            train,
            valid,
            settings(),
            replace(work, deadline=0.0),
            direction="forward",
            info=info,
            start=first,
        )
    with pytest.raises(SettingsError, match="of a run with other first weights"):
        pretrain(
            words,
            train,
            valid,
            settings(),
            replace(work, resume=True),
            direction="forward",
            info=info,
        )


def test_a_start_of_other_sizes_is_refused(tmp_path: Path) -> None:
    first = run(tmp_path / "first", settings(epochs=1))
    with pytest.raises(SettingsError, match="the language model to start from has sizes"):
        run(tmp_path / "second", settings(hidden_size=9), start=first)
