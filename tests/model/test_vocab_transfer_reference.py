"""Moving a language model onto another vocabulary, against the word-by-word rule."""

from __future__ import annotations

import pytest
import torch

from tests.reference.project import assert_equal
from tests.reference.vocab_transfer import transfer
from ulmfit.model.vocab_transfer import transfer_rows, transfer_vocabulary

OLD = ["xxunk", "xxpad", "the", "cat", "sat", "on"]


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        OLD[::-1],
        ["xxunk", "xxpad", "dog", "the", "mat", "the"],
        ["dog", "mat"],
        ["cat"],
    ],
    ids=["same", "reversed", "mixed", "all unknown", "one"],
)
def test_known_words_keep_their_row_and_others_get_the_mean(new: list[str]) -> None:
    embedding = torch.randn(len(OLD), 4, dtype=torch.float64)
    bias = torch.randn(len(OLD), dtype=torch.float64)
    assert_equal(transfer_rows(embedding, OLD, new), transfer(embedding, OLD, new))
    assert_equal(transfer_rows(bias, OLD, new), transfer(bias, OLD, new))


def test_only_what_belongs_to_words_moves() -> None:
    state = {
        "encoder.embedding.weight": torch.randn(6, 4),
        "decoder_bias": torch.randn(6),
        "encoder.rnns.0.weight_hh_l0": torch.randn(6, 6),
    }
    moved = transfer_vocabulary(state, OLD, ["cat", "dog"])
    assert moved["encoder.embedding.weight"].shape == (2, 4)
    assert moved["decoder_bias"].shape == (2,)
    assert torch.equal(moved["encoder.rnns.0.weight_hh_l0"], state["encoder.rnns.0.weight_hh_l0"])
    assert state["decoder_bias"].shape == (6,), "the given weights are left alone"


def test_a_vocabulary_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^6 words, but 5 rows$"):
        transfer_rows(torch.zeros(5, 4), OLD, ["cat"])
