"""BPTT for Text Classification, BPT3C (paper, section 3.3).

A document is cut in chunks; the state after one chunk starts the next; the hidden states of all
chunks go into the pools; gradients flow back through the last chunks only, so that training memory
depends on that window and not on the document.

Documents of a batch end together: one of three chunks joins one of five at the third chunk. Sorted
by length, the documents under way are then always the first rows, so no step is spent on padding
but for the tails of last chunks, and the gradient window is the same for all.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ulmfit.config import LMConfig
from ulmfit.model.awd_lstm import EncoderOutput, State, detach
from ulmfit.model.concat_pooling import empty_pool, join_pools, update_pool


class Encoder(Protocol):
    """What BPT3C needs of an encoder: `AWDLSTM` has it, and `Int8Encoder`."""

    @property
    def config(self) -> LMConfig:
        """Sizes."""

    @property
    def training(self) -> bool:
        """Whether hidden states are to be kept for AR and TAR."""

    @property
    def shares_cores(self) -> bool:
        """Whether one window is computed faster by all threads together than by one."""

    def initial_state(self, batch_size: int) -> State:
        """The state before a document."""

    def __call__(self, tokens: Tensor, state: State) -> EncoderOutput:
        """(B, T) word ids and the state before them -> hidden states and the state after them."""


class Encoded(NamedTuple):
    """Documents as vectors.

    Attributes:
        pooled: (B, 3E), in the order of the input rows.
        hidden: (rows, T, E) hidden states of each chunk through which gradients flow.
        mask: for each of these, which positions are real tokens, (rows, T) bool.
    """

    pooled: Tensor
    hidden: list[Tensor]
    mask: list[Tensor]


def encode_documents(
    encoder: Encoder,
    tokens: Tensor,
    lengths: Tensor,
    *,
    chunk: int,
    pool_tokens: int | None = None,
    grad_tokens: int | None = None,
) -> Encoded:
    """Encode and pool a batch of documents.

    Args:
        encoder: AWD-LSTM, exact or in 8 bits.
        tokens: word ids, (B, T), padded on the right.
        lengths: real tokens of each row, (B,), each >= 1, on the device of `tokens`.
        chunk: tokens per step of BPTT.
        pool_tokens: max and mean pool over the chunks that start within the last `pool_tokens` of a
            document (the rule of fastai's `max_len`), at least `chunk`; None: over all chunks.
        grad_tokens: let gradients flow through the chunks of the last `grad_tokens` steps;
            None: through all.

    Returns:
        `Encoded`.
    """
    order = torch.argsort(lengths, descending=True, stable=True)
    tokens, lengths = tokens[order], lengths[order]
    n_chunks = (lengths + chunk - 1) // chunk
    most = int(n_chunks[0])
    first_with_grad = 0 if grad_tokens is None else max(0, most - -(-grad_tokens // chunk))
    state = encoder.initial_state(0)
    pool = empty_pool(0, encoder.config.emb_size, state[0][0])
    hidden: list[Tensor] = []
    masks: list[Tensor] = []
    for step in range(most):
        active = int((n_chunks >= most - step).sum())
        pool, state = join_pools(pool, active - pool.last.size(0)), _join(encoder, state, active)
        ahead = n_chunks[:active] - (most - step)
        window, real = _window(tokens[:active], lengths[:active], ahead * chunk, chunk)
        pooled = _is_pooled(ahead * chunk, lengths[:active], pool_tokens)
        with_grad = step >= first_with_grad
        with torch.set_grad_enabled(with_grad and torch.is_grad_enabled()):
            output = encoder(window, state)
            state = output.state if with_grad else detach(output.state)
            pool = update_pool(pool, output.raw, real, pooled)
        if with_grad and encoder.training:
            hidden.append(output.raw)
            masks.append(torch.arange(window.size(1), device=real.device) < real.unsqueeze(1))
    pooled_rows = pool.concat()
    return Encoded(pooled_rows[torch.argsort(order)], hidden, masks)


def _window(tokens: Tensor, lengths: Tensor, start: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
    """Cut each row's chunk at its own `start`: ids (rows, T <= chunk) and real tokens (rows,)."""
    real = (lengths - start).clamp(max=chunk)
    steps = torch.arange(int(real.max()), device=tokens.device)
    columns = (start.unsqueeze(1) + steps).clamp(max=tokens.size(1) - 1)
    return tokens.gather(1, columns), real


def _is_pooled(start: Tensor, lengths: Tensor, pool_tokens: int | None) -> Tensor:
    """Which rows' chunks, beginning at `start`, lie in the pooling window, (rows,) bool."""
    if pool_tokens is None:
        return torch.ones_like(start, dtype=torch.bool)
    return start >= lengths - pool_tokens


def _join(encoder: Encoder, state: State, active: int) -> State:
    """Give the rows that begin now the initial state."""
    newcomers = active - state[0][0].size(0)
    if newcomers == 0:
        return state
    fresh = encoder.initial_state(newcomers)
    return tuple(
        (torch.cat([h, h0]), torch.cat([c, c0]))
        for (h, c), (h0, c0) in zip(state, fresh, strict=True)
    )
