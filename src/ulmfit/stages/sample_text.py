"""A few words that a language model makes up, for people who watch it learn."""

from __future__ import annotations

import time

import torch

from ulmfit.config import Direction
from ulmfit.data.rules import BOS_ID, PAD_ID, UNK_ID
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.model.generate import generate
from ulmfit.model.language_model import LanguageModel
from ulmfit.train.tracker import Display

TOKENS = 40
SECONDS = 60.0  # least time between two samples


def sample_text(
    model: LanguageModel,
    tokenizer: Tokenizer,
    direction: Direction,
    *,
    seed: int = 0,
    n_tokens: int = TOKENS,
) -> str:
    """The beginning of a document (backward: the end of one), in reading order.

    Torch's own random numbers are left alone: a run that shows samples ends with the same weights
    as one that does not.

    Args:
        model: in evaluation mode.
        tokenizer: its vocabulary.
        direction: its reading order.
        seed: another one gives another text.
        n_tokens: most tokens to draw.
    """
    generator = torch.Generator().manual_seed(seed)
    ids = generate(
        model,
        torch.tensor([BOS_ID]),
        n_tokens,
        banned=(UNK_ID, PAD_ID),
        stop=(BOS_ID,),
        generator=generator,
    )
    return tokenizer.decode(reversed(ids) if direction == "backward" else ids)


class Sampler:
    """Shows a sample after a validation, at most one a minute.

    Args:
        tokenizer: vocabulary.
        direction: reading order.
        display: what a person sees.
        seconds: least time between two samples.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        direction: Direction,
        display: Display,
        seconds: float = SECONDS,
    ) -> None:
        self.tokenizer, self.direction, self.display = tokenizer, direction, display
        self.seconds, self.shown = seconds, 0
        self._next = 0.0

    def __call__(self, model: LanguageModel) -> None:
        """Show one, if it is time for it."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next, self.shown = now + self.seconds, self.shown + 1
        text = " ".join(sample_text(model, self.tokenizer, self.direction, seed=self.shown).split())
        backward = self.direction == "backward"
        self.display.note(f"  sample: {'... ' * backward}{text}{'' if backward else ' ...'}")
