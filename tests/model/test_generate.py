"""Drawing text from a language model."""

from __future__ import annotations

import pytest
import torch

from tests import tiny
from ulmfit.model.generate import generate
from ulmfit.model.language_model import LanguageModel

PROMPT = torch.tensor([2, 7, 9])


def draw(seed: int = 0, n_tokens: int = 20, **options: float) -> list[int]:
    model = sharpened()
    generator = torch.Generator().manual_seed(seed)
    settings = {"temperature": 1.0, "top_k": 50, **options}
    return generate(
        model,
        PROMPT,
        n_tokens,
        temperature=settings["temperature"],
        top_k=int(settings["top_k"]),
        generator=generator,
    )


def sharpened() -> LanguageModel:
    model = tiny.lm_model().eval()
    with torch.no_grad():
        model.encoder.embedding.weight *= 10
        model.decoder_bias.copy_(torch.linspace(-2, 2, 50))
    return model


def test_one_candidate_is_the_likeliest_word_given_all_before_it() -> None:
    model = sharpened()
    found = generate(model, PROMPT, 5, top_k=1)
    tokens = PROMPT.tolist()
    for word in found:
        output = model(torch.tensor([tokens]), model.encoder.initial_state(1))
        assert word == int(model.logits(output.raw[0, -1]).argmax())
        tokens.append(word)


def test_the_seed_decides_and_torchs_own_numbers_are_left_alone() -> None:
    assert draw(1) == draw(1) != draw(2)
    model, generator = sharpened(), torch.Generator().manual_seed(0)
    before = torch.get_rng_state()
    generate(model, PROMPT, 5, generator=generator)
    assert torch.equal(torch.get_rng_state(), before)


def test_words_come_as_often_as_the_softmax_says() -> None:
    model = sharpened()
    output = model(PROMPT.unsqueeze(0), model.encoder.initial_state(1))
    scores = model.logits(output.raw[0, -1]).detach()
    generator = torch.Generator().manual_seed(0)

    def frequencies(temperature: float, top_k: int) -> torch.Tensor:
        words = [
            generate(model, PROMPT, 1, temperature=temperature, top_k=top_k, generator=generator)[0]
            for _ in range(400)
        ]
        return torch.bincount(torch.tensor(words), minlength=50) / 400

    torch.testing.assert_close(frequencies(2.0, 50), (scores / 2).softmax(0), atol=0.09, rtol=0.0)
    best = scores.topk(3).indices
    kept = torch.full_like(scores, -torch.inf)
    kept[best] = scores[best]
    torch.testing.assert_close(frequencies(1.0, 3), kept.softmax(0), atol=0.09, rtol=0.0)


def test_banned_words_never_come_and_a_stop_ends_the_text() -> None:
    model = sharpened()
    likeliest = generate(model, PROMPT, 1, top_k=1)
    assert generate(model, PROMPT, 1, top_k=1, banned=likeliest) != likeliest
    assert generate(model, PROMPT, 9, top_k=1, stop=likeliest) == []
    assert len(draw(n_tokens=7)) == 7


@pytest.mark.parametrize(("temperature", "top_k"), [(0.0, 5), (-1.0, 5), (1.0, 0)])
def test_wrong_options(temperature: float, top_k: int) -> None:
    with pytest.raises(ValueError, match="both are above 0"):
        draw(temperature=temperature, top_k=top_k)
