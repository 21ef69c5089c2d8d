"""Both directions as one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ulmfit.stages.ensemble import average_scores, probabilities

RNG = np.random.default_rng(0)
LOGITS = [RNG.normal(0, 3, (5, 4)).astype(np.float32) for _ in range(2)]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(float))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logits.astype(float))))


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("members", [1, 2])
def test_probabilities_are_averaged(multi_label: bool, members: int) -> None:
    logits = LOGITS[:members]
    each = [(sigmoid if multi_label else softmax)(table) for table in logits]
    found = probabilities(average_scores(logits, multi_label=multi_label), multi_label=multi_label)
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-6)
    assert found.dtype == np.float32


def test_temperature_by_hand() -> None:
    mean = np.mean([softmax(table) for table in LOGITS], axis=0)
    scores = average_scores(LOGITS, multi_label=False)
    np.testing.assert_allclose(scores, np.log(mean), rtol=1e-9)
    powers = mean ** (1 / 2.5)
    expected = powers / powers.sum(axis=1, keepdims=True)
    found = probabilities(scores, multi_label=False, temperature=2.5)
    np.testing.assert_allclose(found, expected, rtol=1e-6)

    mean = np.mean([sigmoid(table) for table in LOGITS], axis=0)
    scores = average_scores(LOGITS, multi_label=True)
    np.testing.assert_allclose(scores, np.log(mean / (1 - mean)), rtol=1e-9)
    found = probabilities(scores, multi_label=True, temperature=2.5)
    np.testing.assert_allclose(found, sigmoid(scores / 2.5), rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1, 3, 20])
def test_no_temperature_changes_a_decision(temperature: float) -> None:
    for multi_label in (False, True):
        scores = average_scores(LOGITS, multi_label=multi_label)
        found = probabilities(scores, multi_label=multi_label, temperature=temperature)
        if multi_label:
            np.testing.assert_array_equal(found > 0.5, scores > 0)
        else:
            np.testing.assert_array_equal(found.argmax(axis=1), scores.argmax(axis=1))


@pytest.mark.parametrize("multi_label", [False, True])
def test_great_scores_neither_overflow_nor_saturate(multi_label: bool) -> None:
    logits = [np.array([[300.0, -300.0]]), np.array([[200.0, -200.0]])]
    scores = average_scores(logits, multi_label=multi_label)
    assert np.isfinite(scores).all()
    assert np.isfinite(
        average_scores([10 * table for table in logits], multi_label=multi_label)
    ).all()
    found = probabilities(scores, multi_label=multi_label, temperature=100)
    assert 0.8 < found[0, 0] < 0.999, "a float32 probability would be 1, and stay 1"


def test_no_texts() -> None:
    empty = [table[:0] for table in LOGITS]
    for multi_label in (False, True):
        scores = average_scores(empty, multi_label=multi_label)
        assert probabilities(scores, multi_label=multi_label).shape == (0, 4)


def test_large_scores_do_not_overflow() -> None:
    scores = np.array([[1000.0, 0.0], [0.0, math.log(3.0)]])
    found = probabilities(scores, multi_label=False)
    assert np.allclose(found, [[1.0, 0.0], [0.25, 0.75]])
