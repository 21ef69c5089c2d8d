from __future__ import annotations

import math

import numpy as np
import pytest

from ulmfit.errors import InputError
from ulmfit.train.metrics import wilson_interval
from ulmfit.train.reliability import (
    BINS,
    coverage_table,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
    reliability_bins,
    row_confidence,
)

# Four rows: confidences .9, .8, .6, .55; the second and the last are wrong.
P = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.55, 0.45]])
Y = np.array([[1, 0], [0, 1], [0, 1], [0, 1]])


def test_bins_by_hand() -> None:
    bins = reliability_bins(P, Y, bins=10)
    assert [found.count for found in bins] == [0, 0, 0, 0, 0, 2, 0, 1, 1, 0]
    assert bins[5].confidence == pytest.approx((0.6 + 0.55) / 2)
    assert bins[5].accuracy == 0.5
    assert bins[0].accuracy is None
    assert bins[0].confidence == pytest.approx(0.05)
    # .25 |0.9 - 1| + .25 |0.8 - 0| + .5 |0.575 - 0.5|
    assert expected_calibration_error(bins) == pytest.approx(0.025 + 0.2 + 0.0375)


def test_a_confidence_of_one_or_of_zero_is_in_a_bin() -> None:
    bins = reliability_bins(np.array([[1.0], [0.0]]), np.array([[1], [0]]), multi_label=True)
    assert len(bins) == BINS
    assert (bins[0].count, bins[-1].count) == (1, 1)
    assert expected_calibration_error(bins) == 0


def test_adaptive_bins_hold_equally_many() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.9, 1, 150)
    table = np.stack([p, 1 - p], axis=1)
    bins = reliability_bins(table, np.eye(2)[np.zeros(150, int)], adaptive=True)
    assert {found.count for found in bins} == {10}
    assert bins[0].low == 0
    assert bins[-1].high == 1
    same = reliability_bins(np.full((20, 2), 0.5), np.eye(2)[np.zeros(20, int)], adaptive=True)
    assert sum(found.count for found in same) == 20


def test_probabilities_that_tell_the_truth_have_no_error() -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet([0.5, 0.5, 0.5], 20_000)
    y = np.eye(3)[[rng.choice(3, p=row) for row in p]]
    found = reliability(p, y)
    assert found.ece < 0.01
    assert found.adaptive_ece < 0.01
    sharper = p**3 / (p**3).sum(axis=1, keepdims=True)
    assert reliability(sharper, y).ece > 0.1
    by_count = reliability_bins(sharper, y, adaptive=True)
    assert reliability(sharper, y).adaptive_ece == expected_calibration_error(by_count)
    assert reliability(sharper, y).nll > found.nll
    assert found.to_dict()["bins"][0]["count"] == 0


def test_several_labels_count_each_decision() -> None:
    p = np.array([[0.9, 0.2], [0.6, 0.1]])
    y = np.array([[1, 0], [0, 0]])
    assert sum(found.count for found in reliability_bins(p, y, multi_label=True)) == 4
    expected = -np.mean([math.log(x) for x in (0.9, 0.8, 0.4, 0.9)])
    assert negative_log_likelihood(p, y, multi_label=True) == pytest.approx(expected)
    np.testing.assert_allclose(row_confidence(p, multi_label=True), [0.72, 0.54])
    first, second = coverage_table(p, y, multi_label=True, thresholds=(0, 0.7))
    assert (first.rows, first.wrong, second.rows, second.wrong) == (2, 1, 1, 0)
    (undecided,) = coverage_table(
        np.array([[0.5]]), np.array([[0]]), multi_label=True, thresholds=[0.5]
    )
    assert (undecided.rows, undecided.wrong) == (1, 0), "one half is enough to answer, but no label"


def test_likelihood() -> None:
    expected = -np.mean([math.log(x) for x in (0.9, 0.2, 0.6, 0.45)])
    assert negative_log_likelihood(P, Y) == pytest.approx(expected)
    assert math.isfinite(negative_log_likelihood(np.array([[1.0, 0.0]]), np.array([[0, 1]])))


def test_error_falls_with_coverage() -> None:
    table = coverage_table(P, Y, thresholds=(0.0, 0.6, 0.85, 0.95))
    assert [row.rows for row in table] == [4, 3, 1, 0]
    assert [row.wrong for row in table] == [2, 1, 0, 0]
    assert [row.coverage for row in table] == [1, 0.75, 0.25, 0]
    assert [row.error for row in table] == [0.5, 1 / 3, 0, None]
    assert table[0].error_interval == wilson_interval(2, 4)
    assert table[1].error_interval == wilson_interval(1, 3)
    assert table[3].error_interval is None
    assert table[0].to_dict()["min_confidence"] == 0


@pytest.mark.parametrize(
    ("p", "y"), [(P, Y[:3]), (np.zeros((0, 2)), np.zeros((0, 2))), (P[0], Y[0])]
)
def test_tables_that_do_not_fit(p: np.ndarray, y: np.ndarray) -> None:
    with pytest.raises(InputError) as caught:
        coverage_table(p, y)
    assert str(caught.value) == (
        f"probabilities are of shape {p.shape}, targets of shape {y.shape}: "
        "expected both (rows, classes), with at least one row."
    )
