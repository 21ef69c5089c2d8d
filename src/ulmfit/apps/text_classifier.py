"""`TextClassifier`: the whole of ULMFiT behind scikit-learn's contract."""

from __future__ import annotations

import random
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import DataConversionWarning, NotFittedError

from ulmfit.apps.decisions import THRESHOLD
from ulmfit.apps.display import make_display
from ulmfit.apps.explain import Explanation, explain
from ulmfit.apps.predictor import Predictor, choose_device
from ulmfit.apps.pretrained import resolve_lms
from ulmfit.apps.run import TrainingRun
from ulmfit.apps.training import train_classifier
from ulmfit.apps.typed_labels import (
    LabelCodec,
    column_names,
    known_columns,
    label_form,
    labelled,
    readable_labels,
    repeatable,
    require_place_for_none,
    without,
)
from ulmfit.config import DIRECTIONS, Direction
from ulmfit.data.datasets import Dataset, from_python
from ulmfit.errors import InputError, Interrupted, SettingsError
from ulmfit.presets import load_settings
from ulmfit.runtime import Precision, make_accelerator
from ulmfit.stages.folder_config import LabelForm

Unlabeled = Iterable[str] | Callable[[], Iterable[str]]


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Fine-tunes a pretrained language model into a text classifier.

    It follows scikit-learn's contract (`clone`, `Pipeline`, `GridSearchCV`, `cross_val_score`,
    pickle, ...) with texts in the place of rows of numbers: X is a column of strings, a list as
    well as a NumPy array, a pandas or polars Series, an Arrow array or a column of `datasets`.
    There is no `n_features_in_`: a text does not have a number of features.

    The same seed, data and settings give the same model on the same machine. How many threads
    torch takes is not set here, as it holds for the whole process: `torch.set_num_threads`.

    Example::

        classifier = TextClassifier(direction="forward", overrides={"classifier.epochs": 5})
        classifier.fit(texts, labels, unlabeled=more_texts)
        classifier.predict(["What a film!"])
        classifier.save("model")
        TextClassifier.load("model").predict_proba(["What a film!"])

    Args:
        lm: name of a shipped language model, or a folder.
        preset: settings to start from: `default`, `paper`, `released-code` or `fastai2`.
        direction: reading order: `forward`, `backward`, or `both`, whose probabilities are averaged
            (twice the time).
        seed: of everything that is drawn.
        overrides: single settings by dotted name, such as `{"classifier.epochs": 5}`.
        device: `auto` for a GPU where there is one, or `cpu`, `cuda`, `mps`.
        precision: of the products in training: `float32`, `bf16`, or `auto` for bf16 where the
            processor has it. Answers are always float32 after `fit`.
        verbose: show progress on standard error.

    Attributes:
        classes_: classes of the type that `fit` was given, sorted; the columns of `predict_proba`.
            Where the labels were a matrix of 0 and 1, the numbers of its columns, or the names of
            a DataFrame's.
        predictor_: the trained model.
    """

    classes_: NDArray[Any]
    predictor_: Predictor

    def __init__(
        self,
        lm: str | Path = "en-small",
        preset: str = "default",
        direction: Literal["forward", "backward", "both"] = "both",
        seed: int = 0,
        overrides: Mapping[str, object] | None = None,
        device: str = "auto",
        verbose: bool = False,
        precision: Precision = "auto",
    ) -> None:
        self.lm = lm
        self.preset = preset
        self.direction = direction
        self.seed = seed
        self.overrides = overrides
        self.device = device
        self.verbose = verbose
        self.precision = precision

    def fit(self, X: Any, y: Any, unlabeled: Unlabeled | None = None) -> TextClassifier:
        """Train on texts and labels, from the language model on: a second `fit` starts anew.

        Args:
            X: texts.
            y: as many labels: strings, whole numbers or truth values. For multi-label a list of
                labels per row, or a matrix or DataFrame of 0 and 1, which scikit-learn's tools
                need; they compare its columns by position.
            unlabeled: more text of the same kind, for the language model and, if `self_training` is
                set, for a second round of the classifier; a function that opens it where it does
                not fit in memory.

        Raises:
            InputError: data that cannot be trained on; says which row.
            SettingsError: a parameter that is unknown or out of range.
            ModelFolderError: a broken language model.
            StorageError: no space for the temporary files of the training.
        """
        dataset, form = _labelled(X, y)
        settings = load_settings(self.preset, overrides=self.overrides)
        device = choose_device(self.device)
        lms = resolve_lms(self.lm, self._directions())
        with tempfile.TemporaryDirectory(prefix="ulmfit-") as work, _own_random_numbers():
            run = TrainingRun(
                work=Path(work) / "run",
                accelerator=make_accelerator(self.precision, cpu=device.type == "cpu"),
                display=make_display(quiet=not self.verbose),
                seed=self.seed,
            )
            try:
                predictor = train_classifier(
                    dataset, lms, settings, run, unlabeled=_reopenable(unlabeled)
                )
            except Interrupted as error:
                # a grid search takes any other exception for one more bad candidate
                raise KeyboardInterrupt from error
        return self._become(predictor.with_label_form(form))

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Probabilities, (N, C), columns in the order of `classes_`; for multi-label of each alone.

        Raises:
            NotFittedError: before `fit` or `load`.
            InputError: not a column of strings.
        """
        predictor = self._fitted()
        return self._codec().arrange(predictor.predict_proba(from_python(repeatable(X)).texts))

    def predict(self, X: Any, *, min_confidence: float | None = None) -> Any:
        """Labels as `fit` was given them: an array; for multi-label a list of tuples or a matrix.

        Args:
            X: texts.
            min_confidence: give no answer, None, where the model is less sure that it is right
                (for multi-label: that all labels are); the result is then an array of objects.

        Raises:
            NotFittedError: before `fit` or `load`.
            InputError: not a column of strings.
            SettingsError: `min_confidence` is no probability, or the labels are a matrix.
        """
        careful = self._fitted().abstaining(min_confidence)  # refuses before the work
        if min_confidence is not None:
            require_place_for_none(self._codec().form)
        probabilities = self.predict_proba(X)
        decided = self._codec().decide(probabilities, THRESHOLD)
        if min_confidence is None:
            return decided
        answers = careful.answers(probabilities)
        return without(decided, [answer is None for answer in answers])

    def explain(
        self,
        text: str,
        label: Any = None,
        *,
        method: str = "integrated-gradients",
        seconds: float | None = None,
    ) -> Explanation:
        """Which words of a text speak for a label and which against it, see `apps.explain`.

        Args:
            text: one text.
            label: one of `classes_`; None for the most probable one.
            method: `integrated-gradients`, whose attributions add up to the change in log-odds, or
                `occlusion`.
            seconds: take about so long for a long text, and explain it as well as that allows.

        Raises:
            NotFittedError: before `fit` or `load`.
            InputError: an unknown label, or a text that is no string.
            SettingsError: an unknown method.
        """
        predictor = self._fitted()
        name = None if label is None else self._codec().name_of(label)
        return explain(predictor, text, name, method=method, seconds=seconds)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy; for multi-label the share of rows whose labels are all right.

        Raises:
            NotFittedError: before `fit` or `load`.
            InputError: texts and labels that are not as many, or none.
        """
        predictor = self._fitted()
        names = known_columns(y, predictor.label_form)
        dataset = labelled(X, readable_labels(y), names)
        if not len(dataset):
            raise InputError("there is nothing to score", expected="at least one text")
        assert dataset.labels is not None
        answers = predictor.decide(predictor.predict_proba(dataset.texts))
        right = [_set(a) == _set(b) for a, b in zip(answers, dataset.labels, strict=True)]
        return float(np.average(right, weights=sample_weight))

    def save(self, path: str | Path) -> None:
        """Write the model folder, all of it or nothing.

        Raises:
            NotFittedError: before `fit` or `load`.
            StorageError: the folder cannot be written.
        """
        self._fitted().save(Path(path))

    @classmethod
    def load(cls, path: str | Path, device: str = "auto", *, int8: bool = False) -> TextClassifier:
        """Read a model folder that `save` or `ulmfit train` wrote.

        The parameters are the defaults but for `direction` and `device`: the folder does not say
        how to train it again.

        Raises:
            ModelFolderError: the folder is broken, or not a classifier's.
        """
        predictor = Predictor.load(Path(path), device, "int8" if int8 else "float32")
        first, *others = predictor.members
        classifier = cls(direction="both" if others else first.direction, device=device)
        return classifier._become(predictor)

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn's tools may expect: one column of text, one label or several."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.classifier_tags.multi_label = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "predictor_")

    def _directions(self) -> tuple[Direction, ...]:
        if self.direction not in DIRECTIONS:
            raise SettingsError(
                f"direction {self.direction!r} is unknown",
                expected=f"one of {', '.join(DIRECTIONS)}",
            )
        return DIRECTIONS[self.direction]

    def _become(self, predictor: Predictor) -> TextClassifier:
        self.predictor_ = predictor
        self.classes_ = self._codec().classes
        return self

    def _codec(self) -> LabelCodec:
        predictor = self._fitted()
        return LabelCodec(predictor.labels, predictor.label_form, multi_label=predictor.multi_label)

    def _fitted(self) -> Predictor:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(
                f"This {type(self).__name__} is not fitted yet: call `fit`, or `load` a model."
            )
        return self.predictor_


def _labelled(X: Any, y: Any) -> tuple[Dataset, LabelForm]:
    if y is None:
        raise InputError(
            "fit requires y to be passed, but the target y is None",
            expected="as many labels as texts",
        )
    if getattr(y, "ndim", 1) == 2 and y.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected: it is taken for one label "
            "per row. Pass y.ravel() to be clear.",
            DataConversionWarning,
            stacklevel=3,
        )
    names, y = column_names(y), readable_labels(y)
    dataset = labelled(X, y, names)
    form = label_form(y) if names is None else LabelForm(columns=names)
    if len(dataset) < 2:
        raise InputError(
            f"there {'is 1 sample' if len(dataset) else 'are 0 samples'} to train on",
            expected="samples of at least two classes",
        )
    return dataset, form


def _set(labels: str | Sequence[str]) -> frozenset[str]:
    return frozenset([labels] if isinstance(labels, str) else labels)


def _reopenable(texts: Unlabeled | None) -> Callable[[], Iterable[str]] | None:
    if texts is None or callable(texts):
        return texts
    held = from_python(texts, name="unlabeled").texts
    return lambda: held


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Training seeds the process's generators; here they are put back as the caller had them."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
