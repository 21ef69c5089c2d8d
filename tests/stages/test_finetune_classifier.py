"""Stage 3: loss, plans, and small runs of every unfreezing scheme."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from tests import tiny
from tests.train.toy_job import leaves
from ulmfit.config import RELEASED_LM_DROPOUTS, Dropouts
from ulmfit.data.batches import pad
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError, SettingsError, TrainingError
from ulmfit.settings import ClassifierSettings, OptimizerSettings, RateSettings
from ulmfit.stages.classifier_course import unfreezing_plan
from ulmfit.stages.classifier_folder import TrainedClassifier
from ulmfit.stages.finetune_classifier import (
    ClassifierLoss,
    class_weights,
    classification_metrics,
    finetune_classifier,
    one_hot,
)
from ulmfit.train.loop import thaw

Part = tuple[list[NDArray[np.int32]], NDArray[np.float32]]


def settings(**changes: Any) -> ClassifierSettings:
    values: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 10,
        "chunk": 5,
        "grad_tokens": 10,
        "head_size": 6,
        "rates": RateSettings(lr=0.02),
        **changes,
    }
    return ClassifierSettings(**values)


# Targets and weights


def test_targets_have_a_one_for_each_label() -> None:
    targets = one_hot(["b", "a", "b"], ["a", "b", "c"])
    assert targets.tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    targets = one_hot([("a", "c"), (), ("b",)], ["a", "b", "c"])
    assert targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert targets.dtype == np.float32


def test_balanced_weights() -> None:
    targets = one_hot(["a"] * 6 + ["b"] * 2, ["a", "b"])
    assert class_weights(targets, multi_label=False).tolist() == pytest.approx([8 / 12, 8 / 4])
    # Every class has the same weight in sum.
    assert (targets.sum(axis=0) * class_weights(targets, multi_label=False)).tolist() == [4, 4]


def test_balanced_weights_of_several_labels_a_row() -> None:
    targets = one_hot([("a",), ("a", "b"), ("a",), ("a",)], ["a", "b", "c"])
    # "a" is in every row and "c" in none: neither is divided by nothing nor weighs nothing.
    assert class_weights(targets, multi_label=True).tolist() == [1 / 4, 3, 3]


# Loss


def batch_and_loss(
    config: ClassifierSettings, *, multi_label: bool = False
) -> tuple[Any, ClassifierLoss]:
    model = tiny.classifier_model(multi_label=multi_label).train()
    texts = tiny.documents([3, 12, 7, 20])
    targets = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]], dtype=np.float32)
    if multi_label:
        targets[1] = [1, 1, 0]
        targets[2] = 0
        targets[3] = [0, 1, 1]
    return pad(texts, np.array([2, 0, 3, 1])), ClassifierLoss(model, config, targets)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("multi_label", [False, True])
def test_the_loss_is_the_cross_entropy_of_the_batches_documents(
    multi_label: bool, weighted: bool
) -> None:
    config = settings(
        ar_alpha=0, tar_beta=0, class_weights="balanced" if weighted else "none", grad_tokens=None
    )
    batch, loss = batch_and_loss(config, multi_label=multi_label)
    result = loss(batch, {})
    assert result.n_items == 4
    assert result.carry == {}
    assert torch.equal(result.loss, result.metric)
    with torch.no_grad():
        output = loss.model(torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths))
    logits = output.logits
    wanted = loss.targets[batch.rows]
    weights = class_weights(loss.targets.numpy(), multi_label=multi_label)
    total, norm = 0.0, 0.0
    for row in range(4):
        for c in range(3):
            z, y = logits[row, c].double(), wanted[row, c].double()
            w = float(weights[c]) if weighted else 1.0
            if multi_label:
                total -= float(w * y * F.logsigmoid(z) + (1 - y) * F.logsigmoid(-z))
                norm += 1
            elif y:
                total -= w * float(logits[row].double().log_softmax(0)[c])
                norm += w
    assert float(result.metric) == pytest.approx(total / norm, rel=1e-5)


def test_the_penalties_are_means_over_real_tokens() -> None:
    config = settings(ar_alpha=2.0, tar_beta=3.0, grad_tokens=None)
    batch, loss = batch_and_loss(config)
    output = loss.model(torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths))
    squares, differences = [], []
    for h, real in zip(output.hidden, output.mask, strict=True):
        for row in range(h.size(0)):
            n = int(real[row].sum())
            assert real[row, :n].all()  # padding stands behind
            squares += h[row, :n].pow(2).flatten().tolist()
            differences += (h[row, 1:n] - h[row, : n - 1]).pow(2).flatten().tolist()
    expected = 2.0 * float(np.mean(squares)) + 3.0 * float(np.mean(differences))
    assert len(squares) == (3 + 12 + 7 + 20) * 6
    assert loss.penalty(output.hidden, output.mask).item() == pytest.approx(expected, rel=1e-5)
    result = loss(batch, {})
    assert float((result.loss - result.metric).detach()) == pytest.approx(expected, rel=1e-4)


def test_the_gradient_goes_back_no_further_than_is_set() -> None:
    words = []
    for window in (5, None):
        batch, loss = batch_and_loss(settings(grad_tokens=window))
        embedding = loss.model.encoder.embedding.weight
        gradient = torch.autograd.grad(loss(batch, {}).loss, embedding)[0]
        words.append(int(gradient.any(dim=1).sum()))
    assert words[0] < words[1]


@pytest.mark.parametrize("weighted", [False, True])
def test_soft_targets_weigh_the_classes_by_their_probabilities(weighted: bool) -> None:
    targets = np.array([[1, 0, 0], [0.5, 0.3, 0.2]], dtype=np.float32)
    config = settings(class_weights="balanced" if weighted else "none")
    loss = ClassifierLoss(tiny.classifier_model(), config, targets)
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]])
    logs = logits.double().log_softmax(dim=1).numpy()
    weights = class_weights(targets, multi_label=False) if weighted else np.ones(3)
    expected = -(targets * weights * logs).sum() / (targets * weights).sum()
    found = loss.cross_entropy(logits, loss.targets)
    assert float(found) == pytest.approx(expected, rel=1e-6)
    whole = torch.eye(3)[:2]
    weight = None if loss.weights is None else torch.from_numpy(weights)
    assert float(loss.cross_entropy(logits, whole)) == pytest.approx(
        float(F.cross_entropy(logits, whole.argmax(dim=1), weight=weight)), rel=1e-6
    ), "those of one class are counted as hard ones are"


def test_documents_of_one_token_have_no_differences() -> None:
    model = tiny.classifier_model().train()
    targets = np.eye(3, dtype=np.float32)
    loss = ClassifierLoss(model, settings(), targets)
    result = loss(pad(tiny.documents([1, 1, 1]), np.arange(3)), {})
    assert torch.isfinite(result.loss)


def test_nothing_below_the_lowest_thawed_group_is_in_the_graph() -> None:
    batch, loss = batch_and_loss(settings())
    groups = loss.model.layer_groups()
    assert len(groups) == 4
    for phase in unfreezing_plan(settings(epochs=6, unfreezing="gradual"), 4):
        thaw(groups, phase)
        found = leaves(loss(batch, {}).loss)
        wanted = {
            id(parameter)
            for group, rate in zip(groups, phase.rates, strict=True)
            for parameter in group
            if rate is not None
        }
        assert found == wanted


# Metrics


def test_metrics_of_one_label() -> None:
    logits = np.array([[2, 1, 0], [0, 3, 0], [5, 0, 0], [0, 0, 1]], dtype=np.float32)
    targets = one_hot(["a", "b", "c", "c"], ["a", "b", "c"])
    found = classification_metrics(logits, targets, multi_label=False)
    z = np.exp(logits.astype(np.float64))
    p = (z / z.sum(axis=1, keepdims=True))[targets > 0.5]
    assert found == pytest.approx({"valid_loss": -np.log(p).mean(), "error": 0.25}, rel=1e-6)


def test_metrics_of_several_labels_count_a_row_with_any_mistake() -> None:
    logits = np.array([[0.2, -1], [-1, -1], [1, 1], [-1, -1]], dtype=np.float32)
    targets = one_hot([("a",), (), ("a",), ("b",)], ["a", "b"])
    assert classification_metrics(logits, targets, multi_label=True)["error"] == 0.5


# Runs

# A model of six dimensions needs large steps; batches large enough to mix lengths keep the batch
# norm's statistics steady.
EAGER: dict[str, Any] = {
    "rates": RateSettings(lr=0.05, factor=1.5),
    "batch_size": 40,
    "epochs": 20,
    "dropouts": Dropouts(**RELEASED_LM_DROPOUTS),
    "head_p": (0.1, 0.1),
    "max_tokens": None,
}


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return tiny.tokenizer()


def part(words: Tokenizer, n: int, seed: int) -> Part:
    texts, labels = tiny.labelled_texts(n, seed)
    return words.encode_batch(texts), one_hot(labels, ["glad", "sad"])


def run(
    words: Tokenizer,
    folder: Path,
    config: ClassifierSettings,
    *,
    valid: bool = True,
    n: int = 40,
) -> TrainedClassifier:
    return finetune_classifier(
        tiny.trained_lm(words),
        part(words, n, 1),
        part(words, 20, 2) if valid else None,
        ["glad", "sad"],
        config,
        tiny.context(folder, checkpoint_seconds=1e9),
    )


def changed_groups(words: Tokenizer, trained: TrainedClassifier) -> list[bool]:
    """Which of embedding, layers are not the language model's any more."""
    before, after = tiny.trained_lm(words).weights, trained.weights
    prefixes = ("encoder.embedding.", "encoder.rnns.0.", "encoder.rnns.1.")
    return [
        any(not torch.equal(before[k], after[k]) for k in before if k.startswith(prefix))
        for prefix in prefixes
    ]


@pytest.mark.parametrize(
    ("unfreezing", "epochs", "changed"),
    [
        ("last", 3, [False, False, False]),
        ("full", 1, [True, True, True]),
        ("gradual", 4, [True, True, True]),
        ("chain_thaw", 5, [True, True, True]),
    ],
)
def test_every_unfreezing_scheme(
    unfreezing: str, epochs: int, changed: list[bool], words: Tokenizer, tmp_path: Path
) -> None:
    config = settings(unfreezing=unfreezing, epochs=epochs)
    trained = run(words, tmp_path, config, valid=False)
    assert changed_groups(words, trained) == changed
    assert trained.metrics["steps"] == 4 * epochs
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == list(range(epochs))


@pytest.mark.parametrize(("n", "rounds"), [(160, 5), (30, 1)])
def test_two_passes_are_cut_where_each_round_has_whole_batches(
    n: int, rounds: int, words: Tokenizer, tmp_path: Path
) -> None:
    config = ClassifierSettings(chunk=5, grad_tokens=10, head_size=6, max_tokens=1)
    trained = run(words, tmp_path, config, valid=False, n=n)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(records) == 2 * rounds
    assert n / (trained.metrics["steps"] / 2) > 6, "documents of a batch; 8 are asked for"


def test_it_learns(words: Tokenizer, tmp_path: Path) -> None:
    trained = run(words, tmp_path, settings(**EAGER), n=160)
    assert trained.metrics["error"] <= 0.1
    assert trained.labels == ("glad", "sad")
    assert trained.config.head_size == 6
    assert trained.info.keys() == {"lm", "settings"}


def test_it_learns_several_labels_a_row(words: Tokenizer, tmp_path: Path) -> None:
    def two(n: int, seed: int) -> Part:
        texts, labels = tiny.labelled_texts(n, seed)
        rows = [
            (label, *(("film",) if "film" in text else ()))
            for text, label in zip(texts, labels, strict=True)
        ]
        return words.encode_batch(texts), one_hot(rows, ["film", "glad", "sad"])

    trained = finetune_classifier(
        tiny.trained_lm(words),
        two(160, 1),
        two(30, 2),
        ["film", "glad", "sad"],
        settings(class_weights="balanced", **{**EAGER, "epochs": 40}),
        tiny.context(tmp_path, checkpoint_seconds=1e9),
        multi_label=True,
    )
    assert trained.config.multi_label
    assert trained.metrics["error"] <= 0.2


def test_a_backward_classifier_reads_documents_from_their_ends(
    words: Tokenizer, tmp_path: Path
) -> None:
    texts, targets = part(words, 30, 1)
    turned = [text[::-1].copy() for text in texts]
    found = []
    for direction, documents in (("backward", texts), ("forward", turned)):
        lm = tiny.trained_lm(words, direction)  # type: ignore[arg-type]
        trained = finetune_classifier(
            lm,
            (documents, targets),
            (documents, targets),
            ["glad", "sad"],
            settings(epochs=2),
            tiny.context(tmp_path / direction, checkpoint_seconds=1e9),
        )
        assert trained.direction == direction
        found.append(trained.weights)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_batch_of_one_document_can_be_trained_on(words: Tokenizer, tmp_path: Path) -> None:
    trained = run(words, tmp_path, settings(batch_size=1, epochs=2), n=3)
    assert all(torch.isfinite(value).all() for value in trained.weights.values())


def test_a_rate_that_is_far_too_large_is_reported(words: Tokenizer, tmp_path: Path) -> None:
    wild = settings(
        rates=RateSettings(lr=1e30), unfreezing="full", optimizer=OptimizerSettings(clip=None)
    )
    with pytest.raises(TrainingError, match="Lower the learning rate"):
        run(words, tmp_path, wild)


def test_no_document(words: Tokenizer, tmp_path: Path) -> None:
    nothing: Part = ([], np.zeros((0, 2), dtype=np.float32))
    some = part(words, 4, 1)
    context = tiny.context(tmp_path)
    lm = tiny.trained_lm(words)
    for train, valid, verb in ((nothing, None, "train"), (some, nothing, "validate")):
        with pytest.raises(InputError) as caught:
            finetune_classifier(lm, train, valid, ["glad", "sad"], settings(), context)
        assert str(caught.value) == f"there is no document to {verb} on: expected at least one."


def test_a_pooling_window_that_cannot_hold_a_chunk(words: Tokenizer, tmp_path: Path) -> None:
    # A document whose last chunk is full would have nothing to pool: the maximum of nothing.
    with pytest.raises(SettingsError) as caught:
        run(words, tmp_path, settings(chunk=5, pool_tokens=4))
    trained = run(words, tmp_path, settings(chunk=5, pool_tokens=5, epochs=1), valid=False)
    assert (trained.config.chunk, trained.config.pool_tokens) == (5, 5)
    assert str(caught.value) == (
        "classifier.pool_tokens is 4: expected at least classifier.chunk, 5. "
        "A document's last chunk has to be pooled."
    )
