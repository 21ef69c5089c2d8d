"""Labels of the user's own type on one side, class names as text on the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.data.datasets import Dataset, from_python
from ulmfit.data.python_columns import column_of_labels, column_values
from ulmfit.errors import InputError, SettingsError
from ulmfit.stages.folder_config import LabelForm

_KINDS = {bool: "boolean", int: "integer", float: "number"}


def label_form(y: object) -> LabelForm:
    """How labels look: type of the class names, and whether they are a matrix of 0 and 1.

    Args:
        y: labels that `data.datasets.from_python` takes.

    Raises:
        InputError: labels of several types, such as 1 and "1"; or numbers that are not whole.
    """
    values = column_values(y, "labels")
    if getattr(y, "ndim", 1) == 2 and values and len(_items(values[0])) > 1:
        return LabelForm(kind="integer", columns=len(_items(values[0])))
    kinds = {_kind(label): label for value in values for label in _items(value)}
    if "number" in kinds:
        _refuse_measurements(label for value in values for label in _items(value))
    if set(kinds) == {"integer", "number"}:
        return LabelForm(kind="number")
    if len(kinds) > 1:
        shown = " and ".join(f"{label!r} ({kind})" for kind, label in kinds.items())
        raise InputError(
            f"the labels are of several types: {shown}",
            expected="labels of one type",
            hint="Turn them all into strings: [str(label) for label in labels].",
        )
    return LabelForm.model_validate({"kind": next(iter(kinds), "string")})


def repeatable(column: Any) -> Any:
    """A column that can be read twice: iterators as lists, bearers of `__array__` as arrays."""
    if isinstance(column, Iterator):
        return list(column)
    if isinstance(column, Iterable) or not hasattr(column, "__array__"):
        return column
    return np.asarray(column)


def column_names(y: Any) -> tuple[str, ...] | None:
    """Names of the columns of a table; None where there is no table, or its names are no text.

    Raises:
        InputError: two columns have one name.
    """
    if not _is_table(y):
        return None
    names = list(getattr(y, "column_names", y.columns))  # Arrow's `columns` are the data
    if len(names) < 2 or not all(isinstance(name, str) for name in names):
        return None
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise InputError(
            f"two columns of the labels are called {twice[0]!r}", expected="a name for each class"
        )
    return tuple(names)


def known_columns(y: Any, form: LabelForm) -> tuple[str, ...] | None:
    """Class names of the columns of labels that a model is to be compared with.

    Args:
        y: labels as they were given.
        form: of the labels that it was trained on.

    Raises:
        InputError: a table with other columns.
    """
    given = column_names(y)
    if not isinstance(form.columns, tuple) or given is None:
        return form.column_names or given
    if set(given) != set(form.columns):
        raise InputError(
            f"the labels have the columns {', '.join(map(repr, given))}",
            expected=f"those that `fit` was given: {', '.join(map(repr, form.columns))}",
        )
    return given


def labelled(texts: Any, y: Any, names: tuple[str, ...] | None) -> Dataset:
    """Texts with their labels, those of a matrix by the names of its columns.

    Args:
        texts: what `data.datasets.from_python` takes, or an iterator.
        y: labels, as `readable_labels` gives them.
        names: of the columns; None for their numbers.

    Raises:
        InputError: as `from_python`, or a matrix of another width.
    """
    dataset = from_python(repeatable(texts), y)
    if names is None or getattr(y, "ndim", 1) != 2:
        return dataset
    if y.shape[1] != len(names):
        raise InputError(
            f"the label matrix has {y.shape[1]} column{'s' * (y.shape[1] > 1)}",
            expected=f"{len(names)}: {', '.join(map(repr, names[:20]))}",
        )
    assert dataset.labels is not None
    sets = [[names[int(number)] for number in row] for row in dataset.labels]
    found, _ = column_of_labels(sets, dataset.name)  # refuses what is no name of a class
    return replace(dataset, labels=found)


def _is_table(y: Any) -> bool:
    return hasattr(y, "columns") and hasattr(y, "__array__")


def readable_labels(y: Any) -> Any:
    """Labels that can be read twice; tables, and rows of 0 and 1 in lists, as matrices.

    As labels, such rows of equal lengths would name one twice, or say 0 and 1 of every text.
    """
    y = repeatable(y)
    if _is_table(y):
        return np.asarray(y)
    if not isinstance(y, list | tuple) or not y or not isinstance(y[0], list | tuple | np.ndarray):
        return y
    rows = [_items(row) for row in y]
    if len({len(row) for row in rows}) > 1 or len(rows[0]) < 2:
        return y
    return np.array(rows) if all(set(row) <= {0, 1} for row in rows) else y


def _refuse_measurements(labels: Iterable[Any]) -> None:
    """Numbers that are not whole are something measured, as scikit-learn sees it, no classes."""
    for label in labels:
        if isinstance(label, float | np.floating) and not float(label).is_integer():
            raise InputError(
                f"Unknown label type: continuous, such as {label}",
                expected="classes: strings or whole numbers",
                hint="If these numbers stand for classes, turn them into strings.",
            )


def _items(value: object) -> Sequence[object]:
    """The labels of one row."""
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    return list(value) if isinstance(value, np.ndarray) and value.ndim else [value]


def _kind(label: object) -> str:
    if isinstance(label, np.generic):
        label = label.item()
    return _KINDS.get(type(label), "string")


def require_place_for_none(form: LabelForm) -> None:
    """Refuse to leave rows without an answer where there is no way to.

    Raises:
        SettingsError: the labels are a matrix of 0 and 1.
    """
    if form.columns is not None:
        raise SettingsError(
            "min_confidence cannot be used with labels in a matrix of 0 and 1",
            expected="labels as a list per row",
            hint="Use `predict_proba` and a threshold of your own.",
        )


def without(
    decided: NDArray[Any] | list[tuple[Any, ...]], abstained: Sequence[bool]
) -> NDArray[Any]:
    """Labels as an array of objects, with None where there shall be no answer.

    Args:
        decided: what `LabelCodec.decide` gives; no matrix (`require_place_for_none`).
        abstained: which rows, (N,).
    """
    answers = np.empty(len(decided), dtype=object)
    for row, (label, silent) in enumerate(zip(decided, abstained, strict=True)):
        answers[row] = None if silent else label
    return answers


class LabelCodec:
    """From the columns of a model to labels as they were given to `fit`.

    A model orders its classes by name; here they are in the order of `numpy.unique`, on which
    scikit-learn's metrics rely. A matrix keeps its columns, also those without a single 1, whose
    probability is 0.

    Args:
        names: class names, by column of the model's probabilities.
        form: how the labels looked.
        multi_label: whether a text may have any number of labels.
    """

    def __init__(self, names: Sequence[str], form: LabelForm, *, multi_label: bool) -> None:
        self.form, self.multi_label, self._names = form, multi_label, tuple(names)
        typed = np.array([form.typed(name) for name in names])
        if form.columns is None:
            self._columns = np.argsort(typed)
            self.classes: NDArray[Any] = typed[self._columns]
        else:
            place = {name: column for column, name in enumerate(form.column_names)}
            self.classes = np.array([form.typed(name) for name in place])
            self._columns = np.array([place[name] for name in names])

    def arrange(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """A model's probabilities, (N, C), with the columns in the order of `classes`."""
        if self.form.columns is None:
            return probabilities[:, self._columns]
        arranged = np.zeros((len(probabilities), len(self.classes)), dtype=np.float32)
        arranged[:, self._columns] = probabilities
        return arranged

    def decide(
        self, arranged: NDArray[np.float32], threshold: float
    ) -> NDArray[Any] | list[tuple[Any, ...]]:
        """Labels: an array; for multi-label a matrix of 0 and 1 or a list of tuples, as given.

        Args:
            arranged: what `arrange` gives.
            threshold: a label of several is given above it.
        """
        if not self.multi_label:
            decided: NDArray[Any] = self.classes[arranged.argmax(axis=1)]
            return decided
        held = arranged > threshold
        if self.form.columns is not None:
            return held.astype(np.int64)
        return [tuple(self.classes[row].tolist()) for row in held]

    def name_of(self, label: Any) -> str:
        """The name in the model of a class as it was given; text as it is, for unknown ones."""
        return next((name for name in self._names if self.form.typed(name) == label), str(label))
