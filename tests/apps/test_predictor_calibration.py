"""Probabilities that a temperature was fitted to, and answers that are not given."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.apps.test_predictor import TEXTS, member
from tests.apps.tiny_classifiers import counting
from ulmfit.apps.predictor import Predictor
from ulmfit.artifacts import write_folder
from ulmfit.errors import SettingsError
from ulmfit.stages.calibration import CalibrationRecord, Fit
from ulmfit.stages.ngrams import LANGUAGE_MODELS


@pytest.fixture(scope="module")
def both() -> Predictor:
    return Predictor([member("forward"), member("backward")], {"test_error": 0.5})


def calibrated(predictor: Predictor, temperature: float) -> Predictor:
    fit = Fit(0.1, 0.1, 0.5)
    return predictor.with_calibration(CalibrationRecord(temperature, 50, fit, fit))


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("temperature", [0.2, 3.0])
def test_a_temperature_changes_no_decision(multi_label: bool, temperature: float) -> None:
    parts = [
        member("forward", multi_label=multi_label),
        member("backward", multi_label=multi_label),
    ]
    plain = Predictor(parts)
    other = calibrated(plain, temperature)
    before, after = plain.predict_proba(TEXTS), other.predict_proba(TEXTS)
    assert abs(after - before).max() > 0.05
    assert other.decide(after) == plain.decide(before)
    np.testing.assert_array_equal(other.scores(TEXTS), plain.scores(TEXTS))
    assert plain.scores([]).shape == (0, 2)


def test_a_temperature_is_kept(both: Predictor, tmp_path: Path) -> None:
    other = calibrated(both, 2.5)
    other.save(tmp_path / "m")
    loaded = Predictor.load(tmp_path / "m")
    assert loaded.temperature == 2.5
    assert loaded.metrics["calibration"]["rows"] == 50
    assert loaded.metrics.items() >= both.metrics.items()
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), other.predict_proba(TEXTS))
    pickled = pickle.loads(pickle.dumps(other))
    assert (pickled.temperature, pickled.metrics) == (2.5, other.metrics)
    assert other.with_ngrams(None).temperature == 1, "of other members another one"
    assert json.loads((tmp_path / "m" / "config.json").read_text())["calibration"] == {
        "version": 1,
        "temperature": 2.5,
    }


def test_members_are_told_apart_as_they_were_before_calibration(both: Predictor) -> None:
    counted = calibrated(counting(both), 2.5)
    alone = counted.members_alone(TEXTS, counted.predict_proba(TEXTS))[LANGUAGE_MODELS]
    np.testing.assert_allclose(alone, both.predict_proba(TEXTS), atol=1e-4)


def test_a_folder_without_a_temperature(tmp_path: Path) -> None:
    files = member().files()
    config = json.loads(files["config.json"])
    del config["calibration"]
    write_folder(tmp_path / "m", {**files, "config.json": json.dumps(config).encode()})
    loaded = Predictor.load(tmp_path / "m")
    assert loaded.temperature == 1
    np.testing.assert_array_equal(
        loaded.predict_proba(TEXTS), Predictor([member()]).predict_proba(TEXTS)
    )


def test_answers_that_are_not_sure_enough_are_left_out(both: Predictor) -> None:
    p = np.array([[0.4, 0.6], [0.95, 0.05]], dtype=np.float32)
    assert both.answers(p) == ["sad", "glad"]
    careful = both.abstaining(0.9)
    assert careful.answers(p) == [None, "glad"]
    assert careful.decide(p) == ["sad", "glad"]
    assert both.min_confidence is None
    for again in (copy.copy(careful), pickle.loads(pickle.dumps(careful))):
        assert again.answers(p) == [None, "glad"]
    assert both.abstaining(0).answers(p) == ["sad", "glad"]
    several = Predictor([member(multi_label=True)]).abstaining(0.8)
    assert several.answers(np.array([[0.95, 0.9], [0.05, 0.3]], dtype=np.float32)) == [
        ("glad", "sad"),
        None,
    ]
    with pytest.raises(SettingsError) as caught:
        both.abstaining(90)
    assert str(caught.value) == "min_confidence is 90: expected a probability, from 0 to 1."
