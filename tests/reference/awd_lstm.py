"""AWD-LSTM (Merity et al. 2017, section 4), one sequence at a time, all masks given as values."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from tests.reference.lstm import LSTMWeights, lstm

State = list[tuple[Tensor, Tensor]]  # (h, c) per layer, each (H of the layer,)


@dataclass
class Masks:
    """Zeros and 1 / (1 - p); None: nothing dropped. One sequence's own, but for words and U."""

    words: Tensor | None = None  # (V,): embedding dropout, whole words
    inputs: Tensor | None = None  # (E,): the same at every step
    between: list[Tensor] = field(default_factory=list)  # (H,) after every layer but the last
    outputs: Tensor | None = None  # (E,)
    U: list[Tensor] = field(default_factory=list)  # (4H, H) per layer


def zero_state(layers: list[LSTMWeights]) -> State:
    return [(w.U.new_zeros(w.U.shape[1]), w.U.new_zeros(w.U.shape[1])) for w in layers]


def awd_lstm(
    word_ids: list[int], embedding: Tensor, layers: list[LSTMWeights], state: State, masks: Masks
) -> tuple[Tensor, Tensor, State]:
    """-> raw outputs (T, E), dropped outputs (T, E), new state."""
    xs = []
    for word in word_ids:
        x = embedding[word]
        if masks.words is not None:
            x = x * masks.words[word]
        if masks.inputs is not None:
            x = x * masks.inputs
        xs.append(x)
    below = torch.stack(xs)
    new_state = []
    for depth, weights in enumerate(layers):
        h, c = state[depth]
        below, h, c = lstm(below, h, c, weights, masks.U[depth] if masks.U else None)
        new_state.append((h, c))
        if depth < len(layers) - 1 and masks.between:
            below = torch.stack([h_t * masks.between[depth] for h_t in below])
    dropped = below if masks.outputs is None else torch.stack([h * masks.outputs for h in below])
    return below, dropped, new_state
