from __future__ import annotations

import numpy as np
import pytest

from ulmfit.errors import InputError
from ulmfit.stages.calibration import HIGHEST, LOWEST, calibrate, fit_temperature
from ulmfit.stages.ensemble import probabilities


def drawn(n: int, sharpness: float, *, multi_label: bool, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Scores `sharpness` times what the labels, which are drawn from them, deserve."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 2, (n, 4))
    p = probabilities(true, multi_label=multi_label).astype(float)
    if multi_label:
        return true * sharpness, (rng.uniform(size=p.shape) < p).astype(np.float32)
    p /= p.sum(axis=1, keepdims=True)
    return true * sharpness, np.eye(4)[[rng.choice(4, p=row) for row in p]]


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_the_true_temperature_is_found(sharpness: float, multi_label: bool) -> None:
    scores, targets = drawn(4000, sharpness, multi_label=multi_label)
    found = calibrate(scores, targets, multi_label=multi_label)
    assert found.temperature == pytest.approx(sharpness, rel=0.08)
    assert found.rows == 4000
    assert found.after.ece < 0.02
    assert found.after.nll <= found.before.nll
    if sharpness > 2:
        assert found.before.ece > 0.08
    assert set(found.to_dict()["before"]) == {"ece", "adaptive_ece", "nll"}


def test_few_rows_that_are_all_right_do_not_make_a_model_certain() -> None:
    scores = np.log(np.tile([0.8, 0.2], (40, 1)))
    targets = np.tile([1, 0], (40, 1))
    few = fit_temperature(scores, targets, multi_label=False)
    assert 0.2 < few < 0.7
    assert fit_temperature(scores[:3], targets[:3], multi_label=False) > few


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_few_rows_are_weighed_against_the_prior(multi_label: bool) -> None:
    """The least of -log p of all that is true + (log T)^2 / (2 * 0.5^2), on a fine grid."""
    scores, targets = drawn(6, 3.0, multi_label=multi_label)

    def loss(log_t: float) -> float:
        z = scores / np.exp(log_t)
        if multi_label:
            nll = np.logaddexp(0, np.where(targets > 0, -z, z)).sum()
        else:
            nll = (np.logaddexp.reduce(z, axis=1) - z[targets > 0]).sum()
        return float(nll + log_t**2 / (2 * 0.5**2))

    best = np.exp(min(np.linspace(-2, 2, 8_001), key=loss))
    found = fit_temperature(scores, targets, multi_label=multi_label)
    assert found == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize(("factor", "end"), [(1e4, HIGHEST), (1e-2, LOWEST)])
def test_a_temperature_has_bounds(factor: float, end: float) -> None:
    scores, targets = drawn(2000, factor, multi_label=False)
    assert fit_temperature(scores, targets, multi_label=False) == pytest.approx(end)


def test_no_rows() -> None:
    with pytest.raises(InputError, match=r"expected both \(rows, classes\), with at least one row"):
        fit_temperature(np.zeros((0, 2)), np.zeros((0, 2)), multi_label=False)
