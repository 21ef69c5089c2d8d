"""The classifier: AWD-LSTM encoder, BPT3C, concat pooling and a two-block head (section 3.3)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from ulmfit.config import ClassifierConfig, Dropouts, Frozen
from ulmfit.model.all_rows import all_rows
from ulmfit.model.awd_lstm import AWDLSTM
from ulmfit.model.bpt3c import encode_documents


class HeadDropouts(Frozen):
    """Dropout before each of the head's two linear layers (released code: .4 and .1)."""

    first_p: float = 0.4
    second_p: float = 0.1


class ClassifierOutput(NamedTuple):
    """Scores and what AR and TAR need.

    Attributes:
        logits: (B, C).
        hidden: encoder outputs through which gradients flow, one (rows, T, E) per chunk.
        mask: their real positions, one (rows, T) bool per chunk.
    """

    logits: Tensor
    hidden: list[Tensor]
    mask: list[Tensor]


class Head(nn.Module):
    """Batch norm, dropout, linear, ReLU -> batch norm, dropout, linear: (B, 3E) -> (B, C)."""

    def __init__(self, config: ClassifierConfig, dropouts: HeadDropouts) -> None:
        super().__init__()
        self.dropouts = dropouts
        pooled_size = 3 * config.lm.emb_size
        self.norm1 = nn.BatchNorm1d(pooled_size)
        self.linear1 = nn.Linear(pooled_size, config.head_size)
        self.norm2 = nn.BatchNorm1d(config.head_size)
        self.linear2 = nn.Linear(config.head_size, config.n_classes)

    def forward(self, pooled: Tensor) -> Tensor:
        """Class scores before softmax or sigmoid."""
        x = F.dropout(_normalise(self.norm1, pooled), self.dropouts.first_p, self.training)
        x = F.relu(self.linear1(x))
        x = F.dropout(_normalise(self.norm2, x), self.dropouts.second_p, self.training)
        scores: Tensor = self.linear2(x)
        return scores


def _normalise(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """Batch norm that also takes a training batch of one row, which has no variance of its own.

    In training its statistics are those of the whole batch, of which several processes have parts.
    """
    if norm.training:
        rows, own = all_rows(x)
        return _whole(norm, rows)[own]
    return _whole(norm, x)


def _whole(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    if x.size(0) > 1 or not norm.training:
        out: Tensor = norm(x)
        return out
    return F.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
    )


class TextClassifierModel(nn.Module):
    """Scores documents of any length.

    Args:
        config: sizes.
        dropouts: the encoder's five (output_p is not used: the head has its own).
        head_dropouts: the head's two.
    """

    def __init__(
        self, config: ClassifierConfig, dropouts: Dropouts, head_dropouts: HeadDropouts
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = AWDLSTM(config.lm, dropouts)
        self.head = Head(config, head_dropouts)

    def forward(
        self, tokens: Tensor, lengths: Tensor, grad_tokens: int | None = None
    ) -> ClassifierOutput:
        """Score a batch.

        Args:
            tokens: word ids, (B, T), padded on the right.
            lengths: real tokens of each row, (B,), each >= 1.
            grad_tokens: gradient window of BPT3C, in tokens; None: the whole document.

        Returns:
            `ClassifierOutput`, rows in the order of `tokens`.
        """
        encoded = encode_documents(
            self.encoder,
            tokens,
            lengths,
            chunk=self.config.chunk,
            pool_tokens=self.config.pool_tokens,
            grad_tokens=grad_tokens,
        )
        return ClassifierOutput(self.head(encoded.pooled), encoded.hidden, encoded.mask)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Bottom up: embedding, each LSTM layer, head."""
        return [*self.encoder.layer_groups(), list(self.head.parameters())]
