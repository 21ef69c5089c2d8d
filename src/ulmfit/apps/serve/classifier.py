"""What the service needs of a classifier, and the answers it makes of its probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ulmfit.apps.decisions import with_abstention
from ulmfit.apps.serve.messages import Prediction
from ulmfit.train.reliability import row_confidence

Probabilities = NDArray[np.float32]


class Classifier(Protocol):
    """A trained classifier, such as `ulmfit.apps.predictor.Predictor`.

    Answers must not depend on which texts are asked for together, and several threads may ask at
    once.
    """

    @property
    def labels(self) -> Sequence[str]:
        """Class names, in the order of the columns of `predict_proba`."""

    @property
    def multi_label(self) -> bool:
        """Whether a text may have any number of labels."""

    def predict_proba(self, texts: Iterable[str]) -> Probabilities:
        """Probability of each class, (N, C)."""

    def decide(self, probabilities: Probabilities) -> list[str] | list[tuple[str, ...]]:
        """The label, or the labels, of each row."""


class Span(Protocol):
    """A piece of the text and what it does for the label."""

    @property
    def start(self) -> int:
        """First character."""

    @property
    def end(self) -> int:
        """One behind the last character."""

    @property
    def attribution(self) -> float:
        """Share in the score: positive speaks for the label."""


class Explanation(Protocol):
    """Which words decided; see `ulmfit.apps.explain`."""

    @property
    def label(self) -> str:
        """What is explained."""

    @property
    def probability(self) -> float:
        """Of the label."""

    @property
    def score(self) -> float:
        """Of the label, before it became a probability."""

    @property
    def baseline_score(self) -> float:
        """The score of a text that says nothing."""

    @property
    def spans(self) -> Sequence[Span]:
        """The pieces, in the order of the text."""

    @property
    def method(self) -> str:
        """How it was computed."""

    @property
    def coarse(self) -> bool:
        """Whether there was no time to be as exact as usual."""


Explainer = Callable[[str, str | None], Explanation]
"""Explains a text: for a label, or for the most probable one."""


def predictions(
    classifier: Classifier, probabilities: Probabilities, min_confidence: float | None
) -> list[Prediction]:
    """Answers, the labels of those left out that are less sure than `min_confidence`."""
    several, names = classifier.multi_label, list(classifier.labels)
    sure = row_confidence(probabilities, multi_label=several)
    decided = with_abstention(
        classifier.decide(probabilities), probabilities, min_confidence, multi_label=several
    )
    answers = []
    for row, label, confidence in zip(probabilities.tolist(), decided, sure.tolist(), strict=True):
        answers.append(
            Prediction(
                label=label if isinstance(label, str) else None,
                labels=[label] if isinstance(label, str) else list(label or ()),
                confidence=rounded(confidence),
                abstained=label is None,
                probabilities=dict(zip(names, map(rounded, row), strict=True)),
            )
        )
    return answers


def rounded(value: float) -> float:
    """Six digits, which is what float32 holds."""
    return float(f"{value:.6g}")
