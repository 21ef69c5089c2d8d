from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.apps.tiny_classifiers import TEXTS, member
from ulmfit.apps.predictor import Predictor
from ulmfit.errors import SettingsError
from ulmfit.model.int8_encoder import Int8Encoder


@pytest.mark.int8
def test_eight_bits_are_near_and_stay_eight(tmp_path: Path) -> None:
    both = Predictor([member(), member("backward")])
    both.save(tmp_path / "m")
    loaded = Predictor.load(tmp_path / "m", precision="int8")
    expected = both.predict_proba(TEXTS)
    for quick in (Predictor(both.members, precision="int8"), loaded):
        for found in (quick, pickle.loads(pickle.dumps(quick))):
            assert all(isinstance(encoder, Int8Encoder) for encoder in found.encoders)
            np.testing.assert_allclose(found.predict_proba(TEXTS), expected, atol=0.02)


def test_where_eight_bits_cannot_be() -> None:
    with pytest.raises(SettingsError, match="'int8' on device 'cuda': expected device 'cpu' or"):
        Predictor([member()], device="cuda", precision="int8")
    with pytest.raises(SettingsError, match="'int4' is unknown: expected one of float32, int8"):
        Predictor([member()], precision="int4")  # type: ignore[arg-type]
