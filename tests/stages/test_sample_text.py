from __future__ import annotations

import torch

from tests import tiny
from tests.displays import Notes
from ulmfit.stages.sample_text import Sampler, sample_text


def test_a_sample_is_readable_text_of_known_words() -> None:
    words = tiny.tokenizer()
    model = tiny.lm_model(words.vocab_size).eval()
    text = sample_text(model, words, "forward", seed=1, n_tokens=30)
    assert text == sample_text(model, words, "forward", seed=1, n_tokens=30)
    assert text != sample_text(model, words, "forward", seed=2, n_tokens=30)
    assert "xxunk" not in text
    assert "xxbos" not in text


def test_a_backward_model_writes_from_the_end() -> None:
    words = tiny.tokenizer()
    model = tiny.lm_model(words.vocab_size).eval()
    with torch.no_grad():
        model.encoder.embedding.weight.zero_()
        model.decoder_bias.zero_()
        model.decoder_bias[words.vocab.index("film")] = 5.0
        model.decoder_bias[words.vocab.index("the")] = 4.0
    there = sample_text(model, words, "forward", n_tokens=12).split()
    back = sample_text(model, words, "backward", n_tokens=12).split()
    assert back == there[::-1] != there


def test_samples_are_not_shown_all_the_time_and_draw_nothing_from_the_run() -> None:
    words, display = tiny.tokenizer(), Notes()
    model = tiny.lm_model(words.vocab_size).eval()
    before = torch.get_rng_state()
    sampler = Sampler(words, "backward", display, seconds=1000)
    sampler(model)
    sampler(model)
    (note,) = display.lines
    assert note.startswith("  sample: ... ")
    Sampler(words, "forward", display, seconds=0)(model)
    assert display.lines[1].endswith(" ...")
    assert torch.equal(torch.get_rng_state(), before)
