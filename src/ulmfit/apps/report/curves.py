"""Learning curves of each stage, from the records of `log.jsonl`."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

LM, CLASSIFIER = "lm", "classifier"
_STAGE_NAMES = {LM: "language model", CLASSIFIER: "classifier"}

Points = tuple[tuple[float, float], ...]
"""(step, value), by step."""


@dataclass(frozen=True)
class Curve:
    """How one stage went.

    Attributes:
        stage: such as "forward/lm"; of the second round "self-training/forward/classifier".
        train_loss: nats per token or per document.
        valid_loss: on held-out rows; empty where nothing was held out.
        valid_error: share of held-out rows that are wrong; empty for language models.
    """

    stage: str
    train_loss: Points
    valid_loss: Points
    valid_error: Points

    @property
    def title(self) -> str:
        """For people: "Forward classifier"."""
        path, _, stage = self.stage.rpartition("/")
        second_round, _, direction = path.rpartition("/")
        title = f"{direction} {_STAGE_NAMES.get(stage, stage)}".strip().capitalize()
        return f"{title}, second round" if second_round else title

    @property
    def best_step(self) -> float | None:
        """Step of the lowest held-out error or loss, of equals the last: what was kept."""
        points = self.valid_error or self.valid_loss
        return min(points, key=lambda point: (point[1], -point[0]))[0] if points else None


def read_curves(log: bytes) -> list[Curve]:
    """The curves of all stages in the order in which they began, of each the forward one first.

    Lines that are no record of a stage are passed over: the log is for people too.
    """
    stages: dict[str, list[dict[str, object]]] = {}
    for line in log.decode("utf-8", "replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            stages.setdefault(str(record.get("stage", "")), []).append(record)

    def kind(stage: str) -> str:
        return stage.replace("backward/", "forward/")

    kinds = [kind(stage) for stage in stages]
    # Two directions are trained at the same time: which one logs first is chance.
    order = sorted(stages, key=lambda stage: (kinds.index(kind(stage)), "backward/" in stage))
    return [
        Curve(
            stage,
            _points(stages[stage], "train_loss"),
            _points(stages[stage], "valid_loss"),
            _points(stages[stage], "error"),
        )
        for stage in order
    ]


def _points(records: list[dict[str, object]], key: str) -> Points:
    found: dict[float, float] = {}
    for record in records:
        step, value = record["step"], record.get(key)
        if isinstance(step, int) and isinstance(value, int | float) and math.isfinite(value):
            found[step] = float(value)
    return tuple(sorted(found.items()))
