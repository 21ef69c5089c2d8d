"""Architecture of a model: plain, frozen values that are written to `config.json`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

Direction = Literal["forward", "backward"]

# What `--direction` and `TextClassifier(direction=...)` stand for.
DIRECTIONS: dict[str, tuple[Direction, ...]] = {
    "forward": ("forward",),
    "backward": ("backward",),
    "both": ("forward", "backward"),
}

# `released-code` and fastai 2.8 keep this ratio between the five dropouts of an LM.
RELEASED_LM_DROPOUTS = {
    "output_p": 0.1,
    "hidden_p": 0.15,
    "input_p": 0.25,
    "embed_p": 0.02,
    "weight_p": 0.2,
}
# Paper, section 4.1: layers .4, RNN layers .3, input embedding .4, embedding rows .05, weights .5.
PAPER_DROPOUTS = {
    "output_p": 0.4,
    "hidden_p": 0.3,
    "input_p": 0.4,
    "embed_p": 0.05,
    "weight_p": 0.5,
}


class Frozen(BaseModel):
    """A value object: unknown keys are refused, fields cannot be reassigned."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StageSettings(Frozen):
    """Settings some of which a stage fits to its data, unless a person has chosen them."""

    _by_hand: frozenset[str] = PrivateAttr(frozenset())

    def with_choices(self, names: Iterable[str]) -> Self:
        """The same, knowing which settings a person has chosen, even if they equal the defaults."""
        found = self.model_copy()
        found._by_hand = frozenset(names)
        return found

    @property
    def by_hand(self) -> frozenset[str]:
        """Names of the settings that a person has chosen."""
        return self._by_hand

    @property
    def kept_defaults(self) -> list[str]:
        """Settings that a person has chosen to be the defaults: `model_dump` does not tell them."""
        return sorted(name for name in self._by_hand if self._is_default(name))

    def is_open(self, name: str) -> bool:
        """Whether nobody has chosen a setting: it is the default, and not by hand."""
        return name not in self._by_hand and self._is_default(name)

    def _is_default(self, name: str) -> bool:
        default, value = (getattr(each, name) for each in (type(self)(), self))
        return bool(value == default)


class Dropouts(Frozen):
    """The five dropouts of AWD-LSTM (Merity et al. 2017, section 4), as probabilities.

    Attributes:
        output_p: variational dropout on the last layer's output.
        hidden_p: variational dropout between LSTM layers.
        input_p: variational dropout on the embedded input.
        embed_p: dropout of whole rows of the embedding matrix.
        weight_p: DropConnect on the hidden-to-hidden weights.
    """

    output_p: float = Field(0.1, ge=0, lt=1)
    hidden_p: float = Field(0.15, ge=0, lt=1)
    input_p: float = Field(0.25, ge=0, lt=1)
    embed_p: float = Field(0.02, ge=0, lt=1)
    weight_p: float = Field(0.2, ge=0, lt=1)

    def scaled(self, factor: float) -> Dropouts:
        """All five probabilities times `factor`."""
        return Dropouts(**{name: p * factor for name, p in self.model_dump().items()})


# No model is larger: a config.json that says so would take the memory before its weights are seen.
MOST_WORDS, MOST_UNITS, MOST_LAYERS = 2**31 - 1, 1 << 20, 1000


class LMConfig(Frozen):
    """AWD-LSTM language model. Defaults: paper, section 4.1.

    Attributes:
        vocab_size: V, rows of the embedding.
        emb_size: E, also the size of the last LSTM layer, so that the softmax can be tied.
        hidden_size: H of all LSTM layers but the last.
        n_layers: number of LSTM layers.
    """

    vocab_size: int = Field(gt=0, le=MOST_WORDS)
    emb_size: int = Field(400, gt=0, le=MOST_UNITS)
    hidden_size: int = Field(1150, gt=0, le=MOST_UNITS)
    n_layers: int = Field(3, gt=0, le=MOST_LAYERS)

    def layer_sizes(self) -> list[tuple[int, int]]:
        """(input, output) size of each LSTM layer, from the embedding up."""
        inner = [self.emb_size] + [self.hidden_size] * (self.n_layers - 1) + [self.emb_size]
        return list(pairwise(inner))

    def weight_count(self) -> int:
        """Weights of the encoder: embedding, and four gates with two biases in each LSTM layer."""
        gates = sum(4 * n_out * (n_in + n_out + 2) for n_in, n_out in self.layer_sizes())
        return self.vocab_size * self.emb_size + gates


class ClassifierConfig(Frozen):
    """A classifier on top of an AWD-LSTM encoder.

    Attributes:
        lm: the encoder's sizes.
        n_classes: C, width of the output.
        multi_label: one sigmoid per class instead of one softmax over classes.
        head_size: width of the hidden linear layer (paper, section 3.3 and 4.1: 50).
        chunk: tokens per step of BPT3C (paper, section 4.1: BPTT of 70).
        pool_tokens: pool over the last so many tokens of a document, None for all of it
            (released code: 20 x 70; fastai 2.8: 20 x 72); at least `chunk`.
    """

    lm: LMConfig
    n_classes: int = Field(gt=0, le=MOST_UNITS)
    multi_label: bool = False
    head_size: int = Field(50, gt=0, le=MOST_UNITS)
    chunk: int = Field(70, gt=0, le=MOST_WORDS)
    pool_tokens: int | None = Field(None, gt=0, le=MOST_WORDS)

    @model_validator(mode="after")
    def _pools_a_whole_chunk(self) -> Self:
        if self.pool_tokens is not None and self.pool_tokens < self.chunk:
            raise ValueError("pool_tokens has to be at least chunk: the last one is pooled")
        return self

    def weight_count(self) -> int:
        """Weights of the encoder and of the head's two linear layers."""
        head = self.head_size * (3 * self.lm.emb_size + self.n_classes)
        return self.lm.weight_count() + head
