"""Move a pretrained LM onto another vocabulary (released code; not in the paper's print)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def transfer_rows(rows: Tensor, old_vocab: Sequence[str], new_vocab: Sequence[str]) -> Tensor:
    """Rows of the new vocabulary: a known word keeps its row, an unknown one gets the mean row.

    Args:
        rows: one row per word of `old_vocab`, (V_old, ...): embeddings (V_old, E), biases (V_old,).
        old_vocab: words of the pretrained LM, by id.
        new_vocab: words wanted, by id.

    Returns:
        (V_new, ...).

    Raises:
        ValueError: `old_vocab` has not as many words as there are rows.
    """
    if len(old_vocab) != rows.size(0):
        raise ValueError(f"{len(old_vocab)} words, but {rows.size(0)} rows")
    index = {word: i for i, word in enumerate(old_vocab)}
    source = torch.tensor([index.get(word, -1) for word in new_vocab], device=rows.device)
    known = source >= 0
    new = rows.mean(dim=0).expand(len(new_vocab), *rows.shape[1:]).clone()
    new[known] = rows[source[known]]
    return new


def transfer_vocabulary(
    state_dict: Mapping[str, Tensor], old_vocab: Sequence[str], new_vocab: Sequence[str]
) -> dict[str, Tensor]:
    """A `LanguageModel` state dict whose embedding and softmax bias follow `new_vocab`."""
    by_word = {"encoder.embedding.weight", "decoder_bias"}
    return {
        key: transfer_rows(value, old_vocab, new_vocab) if key in by_word else value
        for key, value in state_dict.items()
    }
