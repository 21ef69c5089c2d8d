"""`TextClassifier`: the whole of ULMFiT behind scikit-learn's contract."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from ulmfit.apps.predictor import Predictor
from ulmfit.apps.pretrained import resolve_lms
from ulmfit.apps.run import TrainingRun
from ulmfit.apps.training import train_classifier
from ulmfit.config import Direction
from ulmfit.data.datasets import from_python
from ulmfit.presets import load_settings
from ulmfit.runtime import make_accelerator
from ulmfit.train.tracker import Display, Silent

DIRECTIONS: dict[str, tuple[Direction, ...]] = {
    "forward": ("forward",),
    "backward": ("backward",),
    "both": ("forward", "backward"),
}


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Fine-tunes a pretrained language model into a text classifier.

    Args:
        lm: name of a shipped language model, or a folder.
        preset: `default`, `paper`, `released-code` or `fastai2`.
        direction: `forward`, `backward`, or `both`, averaged.
        seed: of everything that is drawn.
        overrides: single settings, such as `{"classifier.epochs": "5"}`.
        display: shows progress; None for silence.

    Attributes:
        classes_: class names as they were given to `fit`, in the order of `predict_proba`.
        predictor_: the trained model.
    """

    def __init__(
        self,
        lm: str | Path = "en-small",
        preset: str = "default",
        direction: Literal["forward", "backward", "both"] = "both",
        seed: int = 0,
        overrides: dict[str, str] | None = None,
        display: Display | None = None,
    ) -> None:
        self.lm = lm
        self.preset = preset
        self.direction = direction
        self.seed = seed
        self.overrides = overrides
        self.display = display

    def fit(
        self, X: Any, y: Any, unlabeled: Iterable[str] | Callable[[], Iterable[str]] | None = None
    ) -> TextClassifier:
        """Train on texts and labels.

        Args:
            X: texts: a list, NumPy array, pandas or Arrow column, or column of `datasets`.
            y: as many strings or integers, or a list of labels per row (multi-label).
            unlabeled: more text of the same kind, for the language model.
        """
        dataset = from_python(X, y)
        settings = load_settings(self.preset, overrides=self.overrides)
        lms = resolve_lms(self.lm, DIRECTIONS[self.direction])
        with tempfile.TemporaryDirectory() as work:
            run = TrainingRun(
                work=Path(work) / "run",
                accelerator=make_accelerator(),
                display=self.display if self.display is not None else Silent(),
                seed=self.seed,
            )
            self.predictor_ = train_classifier(
                dataset, lms, settings, run, unlabeled=_reopenable(unlabeled)
            )
        self.classes_ = _classes(self.predictor_.labels, y)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Probabilities, (N, C), columns in the order of `classes_`."""
        return self._fitted().predict_proba(from_python(X).texts)

    def predict(self, X: Any) -> Any:
        """Labels: an array of the type given to `fit`; for multi-label a list of tuples."""
        predictor = self._fitted()
        probabilities = predictor.predict_proba(from_python(X).texts)
        if predictor.multi_label:
            return predictor.decide(probabilities)
        return self.classes_[probabilities.argmax(axis=1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy; for multi-label the share of rows whose labels are all right."""
        predicted, wanted = self.predict(X), y
        if self._fitted().multi_label:
            wanted = from_python(X, y).labels
            right = [set(a) == set(b) for a, b in zip(predicted, wanted or (), strict=True)]
        else:
            right = [a == b for a, b in zip(predicted, wanted, strict=True)]
        return float(np.average(right, weights=sample_weight))

    def save(self, path: str | Path) -> None:
        """Write the model folder."""
        self._fitted().save(Path(path))

    @classmethod
    def load(cls, path: str | Path) -> TextClassifier:
        """Read a model folder that `save` or `ulmfit train` wrote."""
        classifier = cls()
        classifier.predictor_ = Predictor.load(Path(path))
        classifier.classes_ = np.array(classifier.predictor_.labels)
        return classifier

    def _fitted(self) -> Predictor:
        if not hasattr(self, "predictor_"):
            raise NotFittedError(
                "not fitted yet: call fit, or load a model"
            )
        return self.predictor_


def _reopenable(
    texts: Iterable[str] | Callable[[], Iterable[str]] | None,
) -> Callable[[], Iterable[str]] | None:
    if texts is None or callable(texts):
        return texts
    held = from_python(texts).texts
    return lambda: held


def _classes(labels: tuple[str, ...], y: Any) -> NDArray[Any]:
    """Class names in the type that the user gave: integers stay integers."""
    first = next(iter(y))
    if isinstance(first, bool | np.bool_ | str) or not isinstance(first, int | np.integer):
        return np.array(labels)
    return np.array([int(label) for label in labels])
