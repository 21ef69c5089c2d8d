"""The AWD-LSTM encoder (Merity et al. 2017): embedding and stacked LSTMs, state as a value."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from ulmfit.config import Dropouts, LMConfig
from ulmfit.model.dropout import embed, variational_dropout
from ulmfit.model.weight_drop import LayerState, lstm_layer

State = tuple[LayerState, ...]

# fastai 0.7 to 2.8: embeddings start uniform in +-0.1, as in awd-lstm-lm.
EMBEDDING_INIT_RANGE = 0.1


class EncoderOutput(NamedTuple):
    """What one window gives.

    Attributes:
        raw: last layer's output before dropout, (B, T, E).
        dropped: the same after output dropout (equal to `raw` in evaluation), (B, T, E).
        state: (h, c) of every layer after the window.
    """

    raw: Tensor
    dropped: Tensor
    state: State


class AWDLSTM(nn.Module):
    """Embedding -> LSTM x n_layers with the five dropouts.

    Args:
        config: sizes.
        dropouts: probabilities; may be replaced between stages through `dropouts`.
    """

    shares_cores = True

    def __init__(self, config: LMConfig, dropouts: Dropouts) -> None:
        super().__init__()
        self.config = config
        self.dropouts = dropouts
        self.embedding = nn.Embedding(config.vocab_size, config.emb_size)
        nn.init.uniform_(self.embedding.weight, -EMBEDDING_INIT_RANGE, EMBEDDING_INIT_RANGE)
        self.rnns = nn.ModuleList(
            nn.LSTM(n_in, n_out, batch_first=True) for n_in, n_out in config.layer_sizes()
        )

    def initial_state(self, batch_size: int) -> State:
        """Zeros: for every layer (h, c), each (batch_size, H of that layer)."""
        weight = self.embedding.weight
        return tuple(
            (weight.new_zeros(batch_size, n_out), weight.new_zeros(batch_size, n_out))
            for _, n_out in self.config.layer_sizes()
        )

    def forward(self, tokens: Tensor, state: State, rows: Tensor | None = None) -> EncoderOutput:
        """Encode a window of word ids.

        Args:
            tokens: (B, T), T >= 1.
            state: as `initial_state` gives it, or an earlier window's.
            rows: part of the embedding in which `tokens` are positions, (n, E); None: all of it.

        Returns:
            `EncoderOutput`; its state still carries gradients: `detach` it to cut BPTT.
        """
        weight = self.embedding.weight if rows is None else rows
        embedded = embed(tokens, weight, self.dropouts.embed_p, training=self.training)
        return self.read(embedded, state)

    def read(self, embedded: Tensor, state: State) -> EncoderOutput:
        """Encode a window of embeddings, (B, T, E), which need not be those of words."""
        drop, training = self.dropouts, self.training
        x = variational_dropout(embedded, drop.input_p, training=training)
        new_state = []
        for depth, (rnn, layer_state) in enumerate(zip(self.rnns, state, strict=True)):
            if depth > 0:
                x = variational_dropout(x, drop.hidden_p, training=training)
            assert isinstance(rnn, nn.LSTM)
            x, layer_state = lstm_layer(x, layer_state, rnn, drop.weight_p, training=training)
            new_state.append(layer_state)
        dropped = variational_dropout(x, drop.output_p, training=training)
        return EncoderOutput(raw=x, dropped=dropped, state=tuple(new_state))

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from the bottom up: the embedding, then each LSTM layer."""
        return [
            list(self.embedding.parameters()),
            *(list(rnn.parameters()) for rnn in self.rnns),
        ]


def detach(state: State) -> State:
    """The same state without its history: gradients stop here (truncated BPTT)."""
    return tuple((h.detach(), c.detach()) for h, c in state)


def state_tensors(state: State) -> dict[str, Tensor]:
    """Flat, named view for checkpoints: `h0`, `c0`, `h1`, ..."""
    flat: dict[str, Tensor] = {}
    for i, (h, c) in enumerate(state):
        flat[f"h{i}"], flat[f"c{i}"] = h, c
    return flat


def state_from_tensors(flat: dict[str, Tensor]) -> State:
    """Inverse of `state_tensors`."""
    return tuple((flat[f"h{i}"], flat[f"c{i}"]) for i in range(len(flat) // 2))
