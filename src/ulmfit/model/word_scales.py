"""One document, its word embeddings multiplied by factors: what an explanation varies.

A factor of 1 is the document as it is; 0 is a dropped word, as embedding dropout makes them in
training (Merity et al. 2017, section 4.3). The gradient of a score by a word's factor is e . dS/de,
for its embedding e: the integrand of integrated gradients (Sundararajan et al. 2017, equation 1).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ulmfit.model.awd_lstm import AWDLSTM, State
from ulmfit.model.bf16_lstm import bf16_lstm
from ulmfit.model.classifier import TextClassifierModel
from ulmfit.model.concat_pooling import Pool, empty_pool, update_pool
from ulmfit.model.weight_drop import LSTM_PARAMETERS


def _nothing() -> None:
    return None


def scaled_logits(
    model: TextClassifierModel,
    tokens: Tensor,
    scales: Tensor,
    *,
    bf16: bool = False,
    progress: Callable[[], None] = _nothing,
) -> Tensor:
    """Class scores of one document under several choices of factors.

    It reads in the chunks of BPT3C. For a gradient only the states between chunks are kept, and
    each chunk is read again on the way back: the gradient goes through the whole document, and
    memory grows by a few vectors per chunk.

    Args:
        model: in evaluation mode.
        tokens: word ids, (T,), T >= 1.
        scales: factors, (B, T); may require a gradient.
        bf16: the products of the LSTMs on a CPU in bfloat16, which is several times as fast where
            the processor has it.
        progress: called whenever a chunk is read: once, or twice where it is read again.

    Returns:
        (B, C).
    """
    encoder, config = model.encoder, model.config
    rows, n_tokens = scales.shape
    state = encoder.initial_state(rows)
    pool = empty_pool(rows, config.lm.emb_size, encoder.embedding.weight)
    carry = [*pool, *(part for layer in state for part in layer)]
    again = scales.requires_grad and n_tokens > config.chunk

    for start in range(0, n_tokens, config.chunk):
        window = slice(start, start + config.chunk)
        pooled = config.pool_tokens is None or start >= n_tokens - config.pool_tokens
        read = partial(_read_chunk, model, tokens[window], pooled, bf16, progress)
        if again:
            factors = scales[:, window]
            carry = checkpoint(read, factors, *carry, use_reentrant=False, preserve_rng_state=False)
        else:
            carry = read(scales[:, window], *carry)
    logits: Tensor = model.head(Pool(*carry[:4]).concat())
    return logits


def _read_chunk(
    model: TextClassifierModel,
    tokens: Tensor,
    pooled: bool,
    bf16: bool,
    progress: Callable[[], None],
    scales: Tensor,
    *carry: Tensor,
) -> list[Tensor]:
    """Pools and states, flat, before the chunk -> after it."""
    progress()
    encoder = model.encoder
    pool, flat = Pool(*carry[:4]), carry[4:]
    state = tuple(zip(flat[::2], flat[1::2], strict=True))
    embedded = encoder.embedding(tokens) * scales.unsqueeze(-1)
    if bf16:
        hidden, state = _read_bf16(encoder, embedded, state)
    else:
        hidden, _, state = encoder.read(embedded, state)
    rows, width = scales.shape
    real = torch.full((rows,), width, device=scales.device)
    counted = torch.full((rows,), pooled, device=scales.device)
    pool = update_pool(pool, hidden, real, counted)
    return [*pool, *(part for layer in state for part in layer)]


def _read_bf16(encoder: AWDLSTM, x: Tensor, state: State) -> tuple[Tensor, State]:
    """As `AWDLSTM.read` in evaluation: last layer's output, (B, T, E), and the state after it."""
    after = []
    for rnn, (h, c) in zip(encoder.rnns, state, strict=True):
        w_ih, w_hh, b_ih, b_hh = (rnn.get_parameter(f"{name}_l0") for name in LSTM_PARAMETERS)
        x, h, c = bf16_lstm(x, w_ih, w_hh, b_ih + b_hh, h, c)
        after.append((h, c))
    return x.float(), tuple(after)
