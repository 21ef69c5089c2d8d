"""BPT3C on padded batches against one document at a time: vectors and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tests.reference.bpt3c import bpt3c
from tests.reference.project import assert_equal, fill, gradients, layers
from ulmfit.config import Dropouts, LMConfig
from ulmfit.model.awd_lstm import AWDLSTM
from ulmfit.model.bpt3c import encode_documents

V, E, CHUNK = 17, 4, 5
LENGTHS = (3, 15, 1, 12, 5, 21)
NONE = Dropouts(output_p=0, hidden_p=0, input_p=0, embed_p=0, weight_p=0)


def encoder() -> AWDLSTM:
    module = AWDLSTM(LMConfig(vocab_size=V, emb_size=E, hidden_size=6, n_layers=2), NONE).double()
    fill(module, seed=2)
    return module.train()


def documents(lengths: tuple[int, ...] = LENGTHS) -> tuple[Tensor, Tensor, list[list[int]]]:
    """Padded (B, T), lengths (B,) and the same as lists."""
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randint(V, (n,), generator=generator) for n in lengths]
    padded = pad_sequence(rows, batch_first=True, padding_value=1)
    return padded, torch.tensor(lengths), [row.tolist() for row in rows]


def weighted(pooled: Tensor) -> Tensor:
    """A loss in which every feature of every document has a weight of its own."""
    return (
        pooled * torch.linspace(-1, 1, pooled.numel(), dtype=pooled.dtype).view_as(pooled)
    ).sum()


@pytest.mark.parametrize(
    ("pool_tokens", "grad_tokens"),
    # Windows of one chunk, of whole chunks, of parts of chunks, and longer than any document.
    [(None, None), (5, 5), (5, 10), (8, 7), (10, None), (10, 5), (11, 12), (None, 7), (100, 100)],
)
def test_vectors_and_gradients_are_those_of_each_document_alone(
    pool_tokens: int | None, grad_tokens: int | None
) -> None:
    module = encoder()
    tokens, lengths, rows = documents()
    pooled = encode_documents(
        module, tokens, lengths, chunk=CHUNK, pool_tokens=pool_tokens, grad_tokens=grad_tokens
    ).pooled
    expected = torch.stack(
        [
            bpt3c(
                row,
                module.embedding.weight,
                layers(module),
                b=CHUNK,
                pool_words=pool_tokens,
                grad_words=grad_tokens,
            )
            for row in rows
        ]
    )
    assert_equal(pooled, expected)
    assert_equal(gradients(weighted(pooled), module), gradients(weighted(expected), module))


@pytest.mark.parametrize("chunk", [1, 2, 5, 7, 20, 21, 50])
def test_the_chunk_length_changes_nothing_when_no_gradient_is_cut(chunk: int) -> None:
    module = encoder()
    tokens, lengths, _ = documents()
    chunked = encode_documents(module, tokens, lengths, chunk=chunk).pooled
    whole = encode_documents(module, tokens, lengths, chunk=1000).pooled
    assert_equal(chunked, whole)
    assert_equal(gradients(weighted(chunked), module), gradients(weighted(whole), module))


def test_a_gradient_window_changes_gradients_and_not_vectors() -> None:
    module = encoder()
    tokens, lengths, _ = documents()
    whole = encode_documents(module, tokens, lengths, chunk=CHUNK).pooled
    cut = encode_documents(module, tokens, lengths, chunk=CHUNK, grad_tokens=CHUNK).pooled
    assert_equal(cut, whole)
    name = "rnns.0.weight_hh_l0"
    difference = gradients(weighted(cut), module)[name] - gradients(weighted(whole), module)[name]
    assert difference.abs().max() > 1e-3


def test_padding_gets_no_gradient() -> None:
    module = encoder()
    tokens, lengths, rows = documents((9, 2))
    pooled = encode_documents(module, tokens, lengths, chunk=CHUNK).pooled
    gradient = gradients(weighted(pooled), module)["embedding.weight"]
    used = sorted({word for row in rows for word in row})
    assert gradient.abs().sum(1).nonzero().flatten().tolist() == used
