from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.apps.report.conftest import LOG
from ulmfit.apps.report.learning import learning

Read = Callable[[str], Any]


def test_a_chart_for_each_stage_and_one_of_the_error(read: Read) -> None:
    section = learning(LOG)
    assert section is not None
    page = read(section.body)
    assert page.tags.count("svg") == 3
    for name in ("Forward language model", "Forward classifier", "Forward classifier: error"):
        assert name in page.text
    assert page.values("aria-label")[0] == (
        "Forward language model, loss: training from 3.000 to 2.000; held out from 2.500 to 2.250"
    )


def test_nothing_to_draw() -> None:
    assert learning(b"") is None


def test_a_long_run_has_a_bounded_chart() -> None:
    lines = [
        json.dumps({"stage": "forward/lm", "step": n, "train_loss": 1 / (n + 1)})
        for n in range(50_000)
    ]
    section = learning("\n".join(lines).encode())
    assert section is not None
    assert len(section.body) < 20_000
