"""Language model: AWD-LSTM encoder and a softmax tied to its embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ulmfit.config import Dropouts, LMConfig
from ulmfit.model.awd_lstm import AWDLSTM, EncoderOutput, State


class LanguageModel(nn.Module):
    """p(next word | words so far) = softmax(W h + b), W the embedding matrix (tied weights).

    Args:
        config: sizes.
        dropouts: the five dropouts.
    """

    def __init__(self, config: LMConfig, dropouts: Dropouts) -> None:
        super().__init__()
        self.config = config
        self.encoder = AWDLSTM(config, dropouts)
        self.decoder_bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, tokens: Tensor, state: State) -> EncoderOutput:
        """Encode (B, T) ids; turn the result into scores with `logits`."""
        output: EncoderOutput = self.encoder(tokens, state)
        return output

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the next word, (..., E) -> (..., V)."""
        return F.linear(hidden, self.encoder.embedding.weight, self.decoder_bias)

    @torch.no_grad()
    def init_bias_from_counts(self, counts: Tensor) -> None:
        """Start from the unigram model: b = log p(word), with add-one smoothing.

        Without it the LSTM first has to learn the word frequencies through its hidden state, which
        saturates its gates for millions of tokens.

        Args:
            counts: occurrences of each word in the training corpus, (V,).
        """
        smoothed = counts.to(self.decoder_bias).double() + 1.0
        self.decoder_bias.copy_((smoothed / smoothed.sum()).log())

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Bottom up: embedding (tied to the softmax) with its bias, then each LSTM layer."""
        bottom, *rest = self.encoder.layer_groups()
        return [[*bottom, self.decoder_bias], *rest]
