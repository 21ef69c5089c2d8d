"""BPT3C (Howard & Ruder 2018, section 3.3), one document at a time, no padding.

The document is cut from its beginning in chunks of b words. "At the beginning of each batch, the
model is initialized with the final state of the previous batch; we keep track of the hidden states
for mean and max-pooling; gradients are back-propagated to the batches whose hidden states
contributed to the final prediction."
"""

from __future__ import annotations

import math

from torch import Tensor

from tests.reference.awd_lstm import Masks, State, awd_lstm, zero_state
from tests.reference.concat_pooling import concat_pooling
from tests.reference.lstm import LSTMWeights


def bpt3c(
    word_ids: list[int],
    embedding: Tensor,
    layers: list[LSTMWeights],
    *,
    b: int,
    pool_words: int | None = None,
    grad_words: int | None = None,
    cut_every_chunk: bool = False,
) -> Tensor:
    """Vector of a document, (3E,).

    Args:
        word_ids: the document.
        embedding: (V, E).
        layers: LSTM weights from the bottom up.
        b: words per chunk.
        pool_words: pool over the chunks from whose first word at most so many words are left
            (fastai's `max_len`); None: over all.
        grad_words: gradients flow through the last ceil(grad_words / b) chunks; None: through all.
        cut_every_chunk: gradients also stop at the beginning of every chunk, as in fastai.
    """
    starts = range(0, len(word_ids), b)
    first_with_grad = 0 if grad_words is None else len(starts) - math.ceil(grad_words / b)
    state = zero_state(layers)
    H: list[Tensor] = []
    for number, start in enumerate(starts):
        if cut_every_chunk or number <= first_with_grad:
            state = _detached(state)
        chunk = word_ids[start : start + b]
        outputs, _, state = awd_lstm(chunk, embedding, layers, state, Masks())
        if number < first_with_grad:
            outputs = outputs.detach()
        if pool_words is None or len(word_ids) - start <= pool_words:
            H.extend(outputs)
    return concat_pooling(H)


def _detached(state: State) -> State:
    return [(h.detach(), c.detach()) for h, c in state]
