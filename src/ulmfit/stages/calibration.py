"""Temperature scaling (Guo et al. 2017, section 4.2): scores divided by one number.

Trained networks are mostly too sure. One temperature for the averaged answer of all directions,
fitted on rows that were not trained on, mends that without changing any decision. The form is
softmax(log p / T) for the average p of the paper; for several labels sigmoid(log-odds of p / T).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.stages.ensemble import Scores, probabilities
from ulmfit.train.reliability import negative_log_likelihood, reliability

# Outside of these a temperature says that something else is wrong. Ours.
LOWEST, HIGHEST = 0.1, 10.0
# Standard deviation of log T before any data is seen: 40 rows that happen to be all right shall not
# make a model certain of everything. 500 rows outweigh it. Ours.
PRIOR_WIDTH = 0.5
_GRID, _ROUNDS = 41, 4  # temperatures tried in each round, each 20 times as fine as the last


@dataclass(frozen=True)
class Fit:
    """How well probabilities fit held-out rows.

    Attributes:
        ece: expected calibration error (15 bins of equal width).
        adaptive_ece: the same over bins of equally many rows.
        nll: negative log-likelihood, nats per row.
    """

    ece: float
    adaptive_ece: float
    nll: float


@dataclass(frozen=True)
class CalibrationRecord:
    """A temperature, and what it was worth on the rows it was fitted on.

    Attributes:
        temperature: scores are divided by it.
        rows: held-out rows it was fitted on.
        before: fit of the probabilities as they were.
        after: fit with the temperature.
    """

    temperature: float
    rows: int
    before: Fit
    after: Fit

    def to_dict(self) -> dict[str, Any]:
        """For `metrics.json`."""
        return asdict(self)


def fit_temperature(
    scores: Scores, targets: NDArray[np.floating] | NDArray[np.bool_], *, multi_label: bool
) -> float:
    """The most plausible temperature: least likelihood loss, with a prior around 1.

    It minimises N * NLL(T) + (log T)^2 / (2 * `PRIOR_WIDTH`^2), in nats.

    Args:
        scores: of rows that were not trained on, (N, C), from `ensemble.average_scores`.
        targets: (N, C), 0 or 1.
        multi_label: whether a row can have several labels.

    Raises:
        InputError: no rows, or tables of other shapes.
    """

    def loss(log_t: float) -> float:
        p = probabilities(scores, multi_label=multi_label, temperature=float(np.exp(log_t)))
        nll = negative_log_likelihood(p, targets, multi_label=multi_label)
        decisions = len(scores) * (scores.shape[1] if multi_label else 1)
        return decisions * nll + log_t**2 / (2 * PRIOR_WIDTH**2)

    low, high = np.log(LOWEST), np.log(HIGHEST)
    best = 0.0
    for _ in range(_ROUNDS):
        tried = np.linspace(low, high, _GRID)
        best = float(min(tried, key=loss))
        step = tried[1] - tried[0]
        low, high = max(np.log(LOWEST), best - step), min(np.log(HIGHEST), best + step)
    return float(np.exp(best))


def calibrate(
    scores: Scores, targets: NDArray[np.floating] | NDArray[np.bool_], *, multi_label: bool
) -> CalibrationRecord:
    """Fit a temperature and measure what it changes.

    Args:
        scores: of rows that were not trained on, (N, C), from `ensemble.average_scores`.
        targets: (N, C), 0 or 1.
        multi_label: whether a row can have several labels.

    Raises:
        InputError: no rows, or tables of other shapes.
    """
    temperature = fit_temperature(scores, targets, multi_label=multi_label)

    def fit(t: float) -> Fit:
        p = probabilities(scores, multi_label=multi_label, temperature=t)
        found = reliability(p, targets, multi_label=multi_label)
        return Fit(found.ece, found.adaptive_ece, found.nll)

    return CalibrationRecord(temperature, len(scores), fit(1.0), fit(temperature))
