"""What pretraining and fine-tuning of a language model share."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tiny
from ulmfit.config import Dropouts
from ulmfit.data.bptt import BPTTStream
from ulmfit.data.corpus import TokenCorpus
from ulmfit.errors import InputError
from ulmfit.model.softmax import sampled_softmax_loss
from ulmfit.settings import FinetuneLMSettings, LMSettings, RateSettings
from ulmfit.stages.lm_training import (
    LMData,
    LMLoss,
    batch_shape,
    corpus_checksum,
    train_language_model,
    word_counts,
)
from ulmfit.train.loop import FitResult

CORPUS = tiny.random_corpus([40, 25, 60, 33])


def settings(**changes: object) -> LMSettings:
    values = {
        "epochs": 1,
        "batch_size": 4,
        "bptt": 6,
        "dropouts": tiny.NO_DROPOUT,
        "rates": RateSettings(lr=0.01),
        **changes,
    }
    return LMSettings.model_validate(values)


def test_the_loss_of_a_window_with_its_penalties() -> None:
    model = tiny.lm_model()
    loss = LMLoss(model, settings(ar_alpha=2.0, tar_beta=3.0), word_counts(CORPUS, 50))
    window = BPTTStream(CORPUS, 4, 6).epoch(0)[0]
    result = loss(window, {})
    with torch.no_grad():
        raw = model(torch.from_numpy(window.inputs), model.encoder.initial_state(4)).raw
        log_p = model.logits(raw).double().log_softmax(-1)
    nll = -np.mean([float(log_p[b, t, window.targets[b, t]]) for b in range(4) for t in range(6)])
    ar = 2.0 * float(raw.double().pow(2).mean())
    tar = 3.0 * float((raw[:, 1:] - raw[:, :-1]).double().pow(2).mean())
    assert float(result.metric) == pytest.approx(nll, rel=1e-5)
    assert float(result.loss.detach()) == pytest.approx(nll + ar + tar, rel=1e-5)
    assert result.n_items == 24


@pytest.mark.parametrize("samples", [None, 5000])
def test_words_are_predicted_from_dropped_states_and_only_tar_is_on_the_raw_ones(
    samples: int | None,
) -> None:
    model = tiny.lm_model(dropouts=tiny.NO_DROPOUT.model_copy(update={"output_p": 0.5}))
    config = settings(ar_alpha=1.0, tar_beta=3.0, softmax_samples=samples)
    loss = LMLoss(model, config, word_counts(CORPUS, 50))
    window = BPTTStream(CORPUS, 4, 6).epoch(0)[0]
    torch.manual_seed(3)
    if loss.sampled is not None:
        loss.sampled.draw()  # of so many draws that every word is a candidate
    output = model(torch.from_numpy(window.inputs), model.encoder.initial_state(4))
    torch.manual_seed(3)
    result = loss(window, {})
    raw, dropped = output.raw.detach(), output.dropped.detach()
    targets = torch.from_numpy(window.targets).flatten()
    nll = torch.nn.functional.cross_entropy(model.logits(dropped).detach().flatten(0, 1), targets)
    assert float(result.metric) == pytest.approx(float(nll), rel=1e-4)
    ar, tar = dropped.pow(2).mean(), 3.0 * (raw[:, 1:] - raw[:, :-1]).pow(2).mean()
    penalty = float((result.loss - result.metric).detach())
    assert penalty == pytest.approx(float(ar + tar), rel=1e-3)


def test_the_state_goes_from_window_to_window_without_its_history() -> None:
    model = tiny.lm_model()
    loss = LMLoss(model, settings(), word_counts(CORPUS, 50))
    first, second = (BPTTStream(CORPUS, 4, 6, shuffle=False).epoch(0)[i] for i in (0, 1))
    carry = loss(first, {}).carry
    assert carry.keys() == {"h0", "c0", "h1", "c1"}
    assert not any(state.requires_grad for state in carry.values())
    both = torch.from_numpy(np.concatenate([first.inputs, second.inputs], axis=1))
    with torch.no_grad():
        output = model(both, model.encoder.initial_state(4))
    after = loss(second, carry).carry
    for layer in (0, 1):
        torch.testing.assert_close(after[f"h{layer}"], output.state[layer][0])
        torch.testing.assert_close(after[f"c{layer}"], output.state[layer][1])
    assert float(loss(second, carry).metric) != float(loss(second, {}).metric)


def test_the_sampled_softmax_is_near_the_full_one() -> None:
    model = tiny.lm_model()
    counts = word_counts(CORPUS, 50)
    window = BPTTStream(CORPUS, 4, 20).epoch(0)[0]
    full = float(LMLoss(model, settings(), counts)(window, {}).metric)
    torch.manual_seed(0)
    sampled = LMLoss(model, settings(softmax_samples=40), counts)
    losses = [float(sampled(window, {}).metric) for _ in range(50)]
    assert len(set(losses)) > 1
    assert np.mean(losses) == pytest.approx(full, rel=0.02)


def test_one_look_up_gives_the_gradients_of_two() -> None:
    model = tiny.lm_model()
    loss = LMLoss(model, settings(softmax_samples=40), word_counts(CORPUS, 50))
    inputs, targets = torch.tensor([[3, 9, 3], [4, 9, 7]]), torch.tensor([9, 3, 20, 9, 7, 21])
    state, parameters = model.encoder.initial_state(2), list(model.parameters())
    torch.manual_seed(0)
    nll, output = loss.read(inputs, targets, state)
    torch.manual_seed(0)
    assert loss.sampled is not None
    chosen = loss.sampled.choose(targets)
    hidden = model(inputs, state).dropped
    weight, bias = model.encoder.embedding.weight[chosen.words], model.decoder_bias[chosen.words]
    again = sampled_softmax_loss(hidden.flatten(0, 1), chosen, weight, bias)
    torch.testing.assert_close(output.dropped, hidden)
    torch.testing.assert_close(nll, again)
    gradients = torch.autograd.grad(nll, parameters)
    torch.testing.assert_close(gradients, torch.autograd.grad(again, parameters))


def test_word_counts() -> None:
    corpus = TokenCorpus.from_ids([np.array([3, 1, 3], dtype=np.uint16), np.array([], np.uint16)])
    assert word_counts(corpus, 5).tolist() == [0, 1, 0, 2, 0]


def test_the_checksum_of_a_corpus_sees_words_and_borders() -> None:
    words = np.arange(6, dtype=np.int32)
    whole = corpus_checksum(TokenCorpus.from_ids([words[:2], words[2:]]))
    assert corpus_checksum(TokenCorpus.from_ids([words[:2], words[2:]])) == whole
    assert corpus_checksum(TokenCorpus.from_ids([words[:3], words[3:]])) != whole
    assert corpus_checksum(TokenCorpus.from_ids([words[:2], words[2:] + 1])) != whole


@pytest.mark.parametrize(
    ("n_tokens", "least_steps", "expected"),
    [
        (100_000, 1, (64, 70)),  # as wanted
        (100_000, 50, (64, 31)),  # 50 steps: shorter windows
        (40_000, 50, (44, 18)),  # and then fewer rows
        (3_000, 50, (4, 18)),  # never fewer than four for that
        (50, 50, (2, 18)),  # but where four rows would not hold a window each
        (70, 1, (3, 18)),  # a row holds a window and the word after it
        (2, 1, (1, 18)),
    ],
)
def test_the_shape_of_a_batch(n_tokens: int, least_steps: int, expected: tuple[int, int]) -> None:
    corpus = tiny.random_corpus([n_tokens])
    config = settings(batch_size=64, bptt=70, least_steps=least_steps)
    assert batch_shape(corpus, config) == expected


@pytest.mark.parametrize("lengths", [[1], [0]])
def test_a_corpus_without_a_pair_of_words(lengths: list[int]) -> None:
    with pytest.raises(InputError) as caught:
        batch_shape(tiny.random_corpus(lengths), settings())
    assert str(caught.value) == (
        f"the corpus has {lengths[0]} tokens: expected at least 2 tokens of text."
    )


def train(
    folder: Path,
    config: LMSettings,
    *,
    direction: str = "forward",
    corpus: TokenCorpus = CORPUS,
    valid: TokenCorpus | None = None,
) -> tuple[dict[str, torch.Tensor], FitResult]:
    model = tiny.lm_model(dropouts=config.dropouts)
    data = LMData(
        train=corpus,
        valid=valid,
        direction=direction,  # type: ignore[arg-type]
        counts=word_counts(corpus, 50),
    )
    torch.manual_seed(0)
    context = tiny.context(folder, checkpoint_seconds=1e9)
    return model.state_dict(), train_language_model(model, data, config, context)


def test_tokens_can_be_limited(tmp_path: Path) -> None:
    _, result = train(tmp_path, settings(epochs=9, max_tokens=6 * 4 * 7 + 5))
    assert result.steps == 7
    _, result = train(tmp_path, settings(max_tokens=1))
    assert result.steps == 1


def test_lengths_of_windows_vary_where_they_are_to(tmp_path: Path) -> None:
    corpus = tiny.random_corpus([2000])
    for vary in (False, True):
        _, result = train(tmp_path, settings(vary_bptt=vary, bptt=20), corpus=corpus)
        assert result.steps == BPTTStream(corpus, 4, 20, vary=vary).count(0)
    assert result.steps != BPTTStream(corpus, 4, 20).count(0)


def test_validation_is_as_often_as_is_set_and_patience_ends_the_run(tmp_path: Path) -> None:
    # At this rate nothing changes: the second validation is no better than the first.
    still = {"epochs": 9, "rates": RateSettings(lr=1e-12), "patience": 1}
    data = LMData(CORPUS, CORPUS, "forward", word_counts(CORPUS, 50))
    for every, steps in ((None, 14), (3, 6)):
        config = settings(**still, validate_every=every)
        context = tiny.context(tmp_path, checkpoint_seconds=1e9)
        assert train_language_model(tiny.lm_model(), data, config, context).steps == steps


def test_a_backward_model_reads_documents_from_their_ends(tmp_path: Path) -> None:
    turned = TokenCorpus.from_ids([CORPUS.document(i)[::-1] for i in range(CORPUS.n_docs)])
    config = settings(epochs=2)
    backward, back = train(tmp_path / "b", config, direction="backward", valid=CORPUS)
    forward, forth = train(tmp_path / "f", config, corpus=turned, valid=turned)
    assert all(torch.equal(backward[name], forward[name]) for name in backward)
    assert back.best == forth.best != {}


def test_all_groups_train_and_the_loss_falls(tmp_path: Path) -> None:
    # One word follows another in a circle.
    circle = TokenCorpus.from_ids([np.arange(400, dtype=np.int32) % 10])
    before = {name: value.clone() for name, value in tiny.lm_model().state_dict().items()}
    config = settings(epochs=30, rates=RateSettings(lr=0.05, kind="uniform"))
    after, _ = train(tmp_path, config, corpus=circle)
    assert all(not torch.equal(before[name], after[name]) for name in before)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert records[0]["train_loss"] > math.log(10)
    assert records[-1]["train_loss"] < 0.2


def test_held_out_text_chooses_the_epoch(tmp_path: Path) -> None:
    config = FinetuneLMSettings(
        epochs=4,
        batch_size=4,
        bptt=6,
        least_steps=1,
        dropouts=Dropouts(),
        rates=RateSettings(lr=3.0),  # far too large: it gets worse and worse
    )
    valid = tiny.random_corpus([150], seed=7)
    model = tiny.lm_model()
    data = LMData(CORPUS, valid, "forward", word_counts(CORPUS, 50))
    torch.manual_seed(0)
    result = train_language_model(
        model, data, config, tiny.context(tmp_path, checkpoint_seconds=1e9)
    )
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [record["valid_loss"] for record in records]
    assert result.best["valid_loss"] == min(losses)
    assert result.best_step == records[losses.index(min(losses))]["step"]
    assert result.best["perplexity"] == pytest.approx(math.exp(min(losses)))
