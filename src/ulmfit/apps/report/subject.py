"""What a report is about: a model, the rows it was tested on, what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ulmfit.apps.predictor import Predictor
from ulmfit.apps.report.markup import Markup
from ulmfit.data.datasets import Dataset
from ulmfit.train.metrics import Evaluation, Labels, indicators


@dataclass(frozen=True)
class Answered:
    """Labelled rows and the model's answers to them.

    Attributes:
        dataset: with labels.
        probabilities: (N, C).
        predicted: answer to each row.
        evaluation: of the answers.
    """

    dataset: Dataset
    probabilities: NDArray[np.float32]
    predicted: Labels
    evaluation: Evaluation

    @property
    def truth(self) -> Labels:
        """The labels of the rows."""
        return cast("Labels", self.dataset.labels)

    def targets(self, classes: Sequence[str]) -> NDArray[np.bool_]:
        """Which row has which class, (N, C)."""
        return indicators(self.truth, classes)


@dataclass(frozen=True)
class Rival:
    """Another method on the same rows.

    Attributes:
        name: of the method.
        predicted: its answer to each row.
        evaluation: of the answers.
    """

    name: str
    predicted: Labels
    evaluation: Evaluation


@dataclass(frozen=True)
class Step:
    """Something to do next.

    Attributes:
        what: in words.
        command: that does it.
    """

    what: str
    command: str


@dataclass(frozen=True)
class Subject:
    """All that a report is made from.

    Attributes:
        name: of the model, for the heading.
        predictor: the model.
        tested: None where there was nothing to test on.
        origin: where the test rows come from, for people.
        train: the rows it learnt; None where they are not at hand.
        rivals: other methods on the same rows.
        members: the model's own members of one kind on the same rows, where it has several kinds.
        log: contents of `log.jsonl`.
        steps: what to do next.
        made: when the report is written.
    """

    name: str
    predictor: Predictor
    tested: Answered | None
    origin: str
    train: Dataset | None
    rivals: tuple[Rival, ...]
    log: bytes
    steps: tuple[Step, ...]
    members: tuple[Rival, ...] = ()
    made: datetime = field(default_factory=lambda: datetime.now().astimezone())

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the model."""
        return self.predictor.labels

    @property
    def multi_label(self) -> bool:
        """Whether a text may have any number of labels."""
        return self.predictor.multi_label


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: its name in links.
        title: heading.
        lead: one or two sentences that say what is to be seen.
        body: the rest.
    """

    anchor: str
    title: str
    lead: str | Markup
    body: Markup
