"""A trained classifier, in torch or exported: what both can do, and how to load whichever it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ulmfit.apps.onnx_folder import is_exported
from ulmfit.artifacts import read_config
from ulmfit.errors import SettingsError

Probabilities = NDArray[np.float32]


class Classifier(Protocol):
    """What `Predictor` and `OnnxClassifier` have in common.

    Attributes:
        min_confidence: below it a text is left without an answer; None: none is.
    """

    min_confidence: float | None

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of `predict_proba`."""

    @property
    def multi_label(self) -> bool:
        """Whether a text may have any number of labels."""

    def predict_proba(self, texts: Iterable[str]) -> Probabilities:
        """Probability of each class, (N, C)."""

    def stream(self, texts: Iterable[str]) -> Iterator[Probabilities]:
        """`predict_proba` block by block."""

    def members_alone(
        self, texts: Sequence[str], probabilities: Probabilities
    ) -> dict[str, Probabilities]:
        """What the members of one kind would have answered alone, by name; empty for one kind."""

    def decide(self, probabilities: Probabilities) -> list[str] | list[tuple[str, ...]]:
        """Labels from probabilities."""

    def answers(
        self, probabilities: Probabilities
    ) -> Sequence[str | None] | Sequence[tuple[str, ...] | None]:
        """`decide`, with None where it abstains."""

    def abstaining(self, min_confidence: float | None) -> Classifier:
        """The same classifier, whose `answers` leave out what is less sure."""


def load_classifier(
    path: Path, device: str = "auto", threads: int | None = None, *, int8: bool = False
) -> Classifier:
    """The classifier in a model folder or in an exported one; torch is imported for the first only.

    Args:
        path: the folder.
        device: see `predictor.choose_device`; an exported model runs on the CPU.
        threads: CPU threads of an exported model; torch has its own setting for all models.
        int8: answer in 8-bit integers; an exported model does or does not.

    Raises:
        ModelFolderError: it holds no classifier, or a broken one.
        SettingsError: there is no such device, or it cannot answer in 8 bits.
    """
    if not is_exported(read_config(path)):
        from ulmfit.apps.predictor import Predictor

        return Predictor.load(path, device, "int8" if int8 else "float32")
    if device not in ("auto", "cpu"):
        raise SettingsError(
            f"device {device!r}: '{path}' is an exported model",
            expected="cpu, where exported models run",
            hint="The model that it was made from runs on other devices.",
        )
    from ulmfit.apps.onnx_runtime import OnnxClassifier

    classifier = OnnxClassifier.load(path, threads)
    if int8 and classifier.settings.precision != "int8":
        raise SettingsError(
            f"'{path}' was exported in {classifier.settings.precision}",
            expected="an export in int8",
            hint="Leave --int8 out, or export again with it: ulmfit export MODEL --onnx DIR --int8",
        )
    return classifier
