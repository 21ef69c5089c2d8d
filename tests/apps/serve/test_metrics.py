from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ulmfit.apps.serve.metrics import SHARED, Metrics

WORKER = """
import os, sys
from ulmfit.apps.serve.metrics import Metrics
metrics = Metrics()
metrics.begin()
metrics.batch(3, 0.01)
if sys.argv[1] == "end":
    metrics.end("/predict", "200", 0.5)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), 9)
if sys.argv[1] == "show":
    print(metrics.page()[0].decode())
"""


def test_of_one_worker() -> None:
    metrics = Metrics()
    metrics.begin()
    metrics.begin()
    metrics.end("/predict", "200", 0.02)
    metrics.batch(5, 0.001)
    page, kind = metrics.page()
    lines = page.decode().splitlines()
    assert kind.startswith("text/plain")
    assert 'ulmfit_requests_total{path="/predict",status="200"} 1.0' in lines
    assert 'ulmfit_request_seconds_bucket{le="0.025",path="/predict"} 1.0' in lines
    assert "ulmfit_texts_total 5.0" in lines
    assert "ulmfit_requests_in_progress 1.0" in lines


def test_several_workers_are_added_up(tmp_path: Path) -> None:
    """Also those that were killed, but for what they had begun."""

    def worker(end: str) -> str:
        command = [sys.executable, "-c", WORKER, end]
        environment = {**os.environ, SHARED: str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True).stdout

    worker("end")
    worker("killed")
    lines = worker("show").splitlines()
    assert 'ulmfit_requests_total{path="/predict",status="200"} 1.0' in lines
    assert "ulmfit_texts_total 9.0" in lines
    assert "ulmfit_batch_texts_count 3.0" in lines
    assert "ulmfit_requests_in_progress 1.0" in lines
