"""How far probabilities can be relied on: bins, calibration error, error by coverage.

Everywhere `probabilities` are (N, C) and `targets` (N, C) of 0 and 1, as `metrics.indicators` gives
them. What is called confidence is a model's own estimate that its answer to a row is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.errors import InputError
from ulmfit.train.metrics import wilson_interval

Table = NDArray[np.floating] | NDArray[np.integer] | NDArray[np.bool_]

# Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2 and table 1.
BINS = 15
# A label of several is given above this, as `Predictor.decide` does.
HALF = 0.5
THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_LEAST = 1e-12  # of a probability whose logarithm is taken


@dataclass(frozen=True)
class ReliabilityBin:
    """Decisions of similar confidence.

    Attributes:
        low: lower end of the bin.
        high: upper end.
        count: decisions in it.
        confidence: their mean confidence; the middle of the bin where there are none.
        accuracy: share of them that are right; None where there are none.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float | None


@dataclass(frozen=True)
class Reliability:
    """How well probabilities say how often they are right.

    Attributes:
        ece: expected calibration error, mean distance of confidence and accuracy over `bins`.
        adaptive_ece: the same over bins of equally many decisions, which sparse bins cannot sway.
        nll: negative log-likelihood, nats per row (per decision, for several labels).
        bins: of equal width.
    """

    ece: float
    adaptive_ece: float
    nll: float
    bins: tuple[ReliabilityBin, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class CoverageRow:
    """What is left, and how right it is, when answers below a confidence are not given.

    Attributes:
        min_confidence: least confidence of the answers that are given.
        rows: answers given.
        coverage: their share.
        wrong: wrong ones among them; for several labels, rows with any label wrong.
        error: their share of `rows`; None where no answer is given.
        error_interval: 95 % interval of the error (Wilson); None where no answer is given.
    """

    min_confidence: float
    rows: int
    coverage: float
    wrong: int
    error: float | None
    error_interval: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


def row_confidence(probabilities: Table, *, multi_label: bool = False) -> NDArray[np.float64]:
    """A model's own probability that its answer to each row is all right, (N,).

    That is the greatest probability of the row. For several labels it is the product over the
    classes of the probability of what was decided, max(p, 1 - p): decisions taken as independent.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if not multi_label:
        return np.asarray(p.max(axis=1))
    return np.asarray(np.maximum(p, 1 - p).prod(axis=1))


def reliability_bins(
    probabilities: Table,
    targets: Table,
    *,
    bins: int = BINS,
    adaptive: bool = False,
    multi_label: bool = False,
) -> tuple[ReliabilityBin, ...]:
    """Confidence beside accuracy, for a reliability diagram.

    With one label per row a decision is a row: confidence is the greatest probability, right is the
    class that has it. With several, every class of every row is one: confidence is its probability,
    right is that the row has the label.

    Args:
        probabilities: (N, C).
        targets: (N, C), 0 or 1.
        bins: number of bins, from 0 to 1.
        adaptive: bins of (nearly) equally many decisions instead of equal width; equal confidences
            share a bin, and there may be fewer bins.
        multi_label: whether a row can have several labels.

    Raises:
        InputError: no rows, or tables of other shapes.
    """
    confidence, right = _decisions(probabilities, targets, multi_label=multi_label)
    edges = _equal_counts(confidence, bins) if adaptive else np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, len(edges) - 2)
    return tuple(
        _bin(edges[i], edges[i + 1], confidence[place == i], right[place == i])
        for i in range(len(edges) - 1)
    )


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """ECE = sum over bins of count / N * |accuracy - confidence| (Guo et al. 2017, equation 3)."""
    total = sum(each.count for each in bins)
    return sum(
        each.count / total * abs(each.accuracy - each.confidence)
        for each in bins
        if each.accuracy is not None
    )


def negative_log_likelihood(
    probabilities: Table, targets: Table, *, multi_label: bool = False
) -> float:
    """Mean of -log p of what is true, in nats per row; for several labels per class of each row.

    Raises:
        InputError: no rows, or tables of other shapes.
    """
    p, truth = _tables(probabilities, targets)
    if not multi_label:
        return float(-np.log(np.maximum(p[truth], _LEAST)).mean())
    return float(-np.log(np.maximum(np.where(truth, p, 1 - p), _LEAST)).mean())


def reliability(probabilities: Table, targets: Table, *, multi_label: bool = False) -> Reliability:
    """ECE over `BINS` bins of either kind, and likelihood.

    Raises:
        InputError: no rows, or tables of other shapes.
    """
    even = reliability_bins(probabilities, targets, multi_label=multi_label)
    filled = reliability_bins(probabilities, targets, adaptive=True, multi_label=multi_label)
    return Reliability(
        ece=expected_calibration_error(even),
        adaptive_ece=expected_calibration_error(filled),
        nll=negative_log_likelihood(probabilities, targets, multi_label=multi_label),
        bins=even,
    )


def coverage_table(
    probabilities: Table,
    targets: Table,
    *,
    multi_label: bool = False,
    thresholds: Sequence[float] = THRESHOLDS,
) -> tuple[CoverageRow, ...]:
    """Error on the answers that are left when those below a confidence are not given.

    Args:
        probabilities: (N, C).
        targets: (N, C), 0 or 1.
        multi_label: whether a row can have several labels.
        thresholds: least confidences, one per row of the table; see `row_confidence`.

    Raises:
        InputError: no rows, or tables of other shapes.
    """
    p, truth = _tables(probabilities, targets)
    confidence = row_confidence(p, multi_label=multi_label)
    if multi_label:
        wrong = ((p > HALF) != truth).any(axis=1)
    else:
        wrong = ~truth[np.arange(len(p)), p.argmax(axis=1)]
    return tuple(_coverage(threshold, confidence, wrong) for threshold in thresholds)


def _coverage(
    threshold: float, confidence: NDArray[np.float64], wrong: NDArray[np.bool_]
) -> CoverageRow:
    given = confidence >= threshold
    rows, faults = int(given.sum()), int(wrong[given].sum())
    return CoverageRow(
        min_confidence=threshold,
        rows=rows,
        coverage=rows / len(wrong),
        wrong=faults,
        error=faults / rows if rows else None,
        error_interval=wilson_interval(faults, rows) if rows else None,
    )


def _decisions(
    probabilities: Table, targets: Table, *, multi_label: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidence and rightness of each decision."""
    p, truth = _tables(probabilities, targets)
    if multi_label:
        return p.ravel(), truth.ravel()
    return p.max(axis=1), truth[np.arange(len(p)), p.argmax(axis=1)]


def _tables(probabilities: Table, targets: Table) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    p = np.asarray(probabilities, dtype=np.float64)
    truth = np.asarray(targets, dtype=np.float64) > HALF
    if p.ndim != 2 or p.shape != truth.shape or not p.size:
        raise InputError(
            f"probabilities are of shape {p.shape}, targets of shape {truth.shape}",
            expected="both (rows, classes), with at least one row",
        )
    return p, truth


def _equal_counts(confidence: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Edges of bins with equally many decisions each, from 0 to 1."""
    inner = np.quantile(confidence, np.arange(1, bins) / bins, method="inverted_cdf")
    return np.unique(np.concatenate([[0.0], inner, [1.0]]))


def _bin(
    low: float, high: float, confidence: NDArray[np.float64], right: NDArray[np.bool_]
) -> ReliabilityBin:
    if not len(confidence):
        return ReliabilityBin(float(low), float(high), 0, float(low + high) / 2, None)
    return ReliabilityBin(
        float(low), float(high), len(confidence), float(confidence.mean()), float(right.mean())
    )
