"""The encoder, and the training loss upon it, against the equations, with all dropouts on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.reference import activation_reg as reference_reg
from tests.reference import language_model as reference_lm
from tests.reference.awd_lstm import Masks, State, awd_lstm, zero_state
from tests.reference.project import assert_equal, fill, gradients, layers
from ulmfit.config import Dropouts, LMConfig
from ulmfit.model.activation_reg import activation_reg, temporal_activation_reg
from ulmfit.model.awd_lstm import AWDLSTM, detach
from ulmfit.model.dropout import dropout_mask
from ulmfit.model.language_model import LanguageModel
from ulmfit.model.softmax import full_softmax_loss
from ulmfit.model.weight_drop import weight_drop

V, E, H, LAYERS, B, T = 13, 4, 6, 3, 2, 5
CONFIG = LMConfig(vocab_size=V, emb_size=E, hidden_size=H, n_layers=LAYERS)
NONE = Dropouts(output_p=0, hidden_p=0, input_p=0, embed_p=0, weight_p=0)
ALL = Dropouts(output_p=0.4, hidden_p=0.3, input_p=0.4, embed_p=0.2, weight_p=0.5)


def model(dropouts: Dropouts) -> LanguageModel:
    lm = LanguageModel(CONFIG, dropouts).double()
    fill(lm, seed=6)
    return lm


def windows(count: int) -> list[tuple[Tensor, Tensor]]:
    """Successive (tokens, targets) of the same B streams."""
    stream = torch.randint(V, (B, count * T + 1), generator=torch.Generator().manual_seed(7))
    cuts = range(0, count * T, T)
    return [(stream[:, i : i + T], stream[:, i + 1 : i + T + 1]) for i in cuts]


def masks_in_order_of_the_forward_pass(encoder: AWDLSTM) -> list[Masks]:
    """Draw what one training forward pass draws; one `Masks` per sequence."""
    p = encoder.dropouts
    like = encoder.embedding.weight
    words = dropout_mask(like, (V,), p.embed_p)
    inputs = dropout_mask(like, (B, 1, E), p.input_p)
    between: list[Tensor] = []
    U: list[Tensor] = []
    for depth, (_, size) in enumerate(CONFIG.layer_sizes()):
        if depth > 0:
            between.append(dropout_mask(like, (B, 1, CONFIG.layer_sizes()[depth][0]), p.hidden_p))
        U.append(weight_drop(like.new_ones(4 * size, size), p.weight_p, training=True))
    outputs = dropout_mask(like, (B, 1, E), p.output_p)
    return [
        Masks(words, inputs[b, 0], [mask[b, 0] for mask in between], outputs[b, 0], U)
        for b in range(B)
    ]


def run_reference(
    encoder: AWDLSTM, tokens: Tensor, states: list[State], masks: list[Masks]
) -> tuple[list[Tensor], list[Tensor], list[State]]:
    """raw and dropped outputs (T, E) and new state of each sequence."""
    rows = [
        awd_lstm(tokens[b].tolist(), encoder.embedding.weight, layers(encoder), states[b], masks[b])
        for b in range(B)
    ]
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


@pytest.mark.parametrize("training", [False, True])
def test_two_windows_with_carried_state(training: bool) -> None:
    lm = model(ALL).train(training)
    state = lm.encoder.initial_state(B)
    states = [zero_state(layers(lm.encoder)) for _ in range(B)]
    for number, (tokens, _) in enumerate(windows(2)):
        torch.manual_seed(number)
        output = lm.encoder(tokens, state)
        torch.manual_seed(number)
        masks = masks_in_order_of_the_forward_pass(lm.encoder) if training else [Masks()] * B
        raw, dropped, states = run_reference(lm.encoder, tokens, states, masks)
        state = output.state
        assert_equal(output.raw, torch.stack(raw))
        assert_equal(output.dropped, torch.stack(dropped))
        for depth, (h, c) in enumerate(state):
            assert_equal(h, torch.stack([s[depth][0] for s in states]))
            assert_equal(c, torch.stack([s[depth][1] for s in states]))


@pytest.mark.parametrize("dropouts", [NONE, ALL], ids=["no dropout", "all dropouts"])
def test_loss_with_ar_and_tar_and_its_gradients(dropouts: Dropouts) -> None:
    lm = model(dropouts).train()
    (first, _), (tokens, targets) = windows(2)
    state = detach(lm.encoder(first, lm.encoder.initial_state(B)).state)
    states = [[(h[b], c[b]) for h, c in state] for b in range(B)]
    weight = lm.encoder.embedding.weight

    torch.manual_seed(8)
    output = lm(tokens, state)
    loss = full_softmax_loss(
        output.dropped.flatten(0, 1), targets.flatten(), weight, lm.decoder_bias
    )
    ar, tar = activation_reg(output.dropped, 2.0), temporal_activation_reg(output.raw, 1.0)

    torch.manual_seed(8)
    on = dropouts is ALL
    masks = masks_in_order_of_the_forward_pass(lm.encoder) if on else [Masks()] * B
    raw, dropped, _ = run_reference(lm.encoder, tokens, states, masks)
    expected = reference_lm.loss(dropped, targets.tolist(), weight, lm.decoder_bias)
    expected_ar = reference_reg.activation_reg(dropped, 2.0)
    expected_tar = reference_reg.temporal_activation_reg(raw, 1.0)

    # The project takes the logarithms and the regularisers in float32 on purpose.
    assert_equal([loss, ar, tar], [expected, expected_ar, expected_tar], 1e-6)
    assert_equal(
        gradients(loss + ar + tar, lm),
        gradients(expected + expected_ar + expected_tar, lm),
        1e-6,
    )


def test_window_by_window_without_cutting_equals_one_long_window() -> None:
    lm = model(NONE).train()
    (a, _), (b, _) = windows(2)
    first = lm.encoder(a, lm.encoder.initial_state(B))
    second = lm.encoder(b, first.state)
    whole = lm.encoder(torch.cat([a, b], dim=1), lm.encoder.initial_state(B))
    assert_equal(torch.cat([first.raw, second.raw], dim=1), whole.raw)
    loss, expected = second.raw.pow(2).sum(), whole.raw[:, T:].pow(2).sum()
    assert_equal(gradients(loss, lm.encoder), gradients(expected, lm.encoder))
