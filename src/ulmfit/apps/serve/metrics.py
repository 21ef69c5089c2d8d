"""What `/metrics` tells Prometheus, right for any number of workers.

Several workers share the folder that PROMETHEUS_MULTIPROC_DIR names: each writes its numbers there
and whichever is asked adds them up.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client looks at it when it is imported

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters and timings of one worker."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        self._requests = Counter(
            "ulmfit_requests",
            "Requests answered, by path and status.",
            ("path", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "ulmfit_request_seconds",
            "Seconds from the arrival of a request to its answer.",
            ("path",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._texts = Counter("ulmfit_texts", "Texts predicted.", registry=self._registry)
        self._batch_texts = Histogram(
            "ulmfit_batch_texts",
            "Texts predicted together.",
            buckets=_TEXTS,
            registry=self._registry,
        )
        self._batch_seconds = Histogram(
            "ulmfit_batch_seconds",
            "Seconds to predict a batch.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._busy = Gauge(
            "ulmfit_requests_in_progress",
            "Requests being handled.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )

    def begin(self) -> None:
        """A request has come."""
        self._busy.inc()

    def end(self, path: str, status: str, seconds: float) -> None:
        """It was answered, or its client has gone."""
        self._busy.dec()
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, texts: int, seconds: float) -> None:
        """A batch was predicted."""
        self._texts.inc(texts)
        self._batch_texts.observe(texts)
        self._batch_seconds.observe(seconds)

    def page(self) -> tuple[bytes, str]:
        """All of it in Prometheus' text format, and the content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        folder = os.environ.get(SHARED)
        if not folder:
            return generate_latest(self._registry), CONTENT_TYPE_LATEST
        _forget_the_dead(Path(folder))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST


def _forget_the_dead(folder: Path) -> None:
    """A worker that was killed handles no requests any more; what it counted stays."""
    from prometheus_client.multiprocess import mark_process_dead

    for path in folder.glob("gauge_live*.db"):
        found = re.search(r"_(\d+)\.db$", path.name)
        if found and not _alive(int(found[1])):
            mark_process_dead(int(found[1]), str(folder))  # type: ignore[no-untyped-call]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
