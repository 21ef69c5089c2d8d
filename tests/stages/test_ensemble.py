"""Both directions as one."""

from __future__ import annotations

import numpy as np

from ulmfit.stages.ensemble import average


def test_probabilities_are_averaged() -> None:
    forward = np.array([[0.2, 0.8], [0.5, 0.5]], dtype=np.float32)
    backward = np.array([[0.6, 0.4], [1.0, 0.0]], dtype=np.float32)
    found = average([forward, backward])
    np.testing.assert_allclose(found, [[0.4, 0.6], [0.75, 0.25]], rtol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(average([forward]), forward)
    assert average([forward[:0], backward[:0]]).shape == (0, 2)
