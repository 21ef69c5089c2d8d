"""Text from a language model, token by token."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from ulmfit.model.language_model import LanguageModel

# Of 40 likely words at a slightly sharpened distribution: what GPT-2's samples were shown with
# (Radford et al. 2019: top-k 40); the temperature is ours.
TOP_K, TEMPERATURE = 40, 0.8


@torch.no_grad()
def generate(
    model: LanguageModel,
    prompt: Tensor,
    n_tokens: int,
    *,
    temperature: float = TEMPERATURE,
    top_k: int = TOP_K,
    banned: Collection[int] = (),
    stop: Collection[int] = (),
    generator: torch.Generator | None = None,
) -> list[int]:
    """Draw the tokens that follow a prompt, in the model's reading order.

    p(w) = softmax(z / temperature) over the `top_k` largest z.

    Args:
        model: in evaluation mode.
        prompt: word ids, (T,), T >= 1.
        n_tokens: most tokens to draw.
        temperature: below 1 likelier words, above 1 more surprising ones; > 0.
        top_k: draw from so many words; 1 is the likeliest word each time.
        banned: ids that are never drawn.
        stop: ids that end the text; they are not part of it.
        generator: of random numbers, on the CPU; None for torch's own.

    Returns:
        The new ids, without the prompt.

    Raises:
        ValueError: `temperature` or `top_k` is not positive.
    """
    if temperature <= 0 or top_k < 1:
        raise ValueError(f"temperature = {temperature}, top_k = {top_k}: both are above 0")
    device = model.decoder_bias.device
    tokens, state = prompt.to(device).unsqueeze(0), model.encoder.initial_state(1)
    drawn: list[int] = []
    while len(drawn) < n_tokens:
        output = model(tokens, state)
        scores = model.logits(output.raw[0, -1]).float().cpu()
        scores[list(banned)] = -torch.inf
        best = scores.topk(min(top_k, scores.numel()))
        p = (best.values / temperature).softmax(dim=0)
        word = int(best.indices[torch.multinomial(p, 1, generator=generator)])
        if word in stop:
            break
        drawn.append(word)
        tokens, state = torch.tensor([[word]], device=device), output.state
    return drawn
