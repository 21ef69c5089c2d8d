"""How good a classifier is on labelled texts: error with its interval, F1, confusions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ulmfit.errors import InputError

Labels = Sequence[str] | Sequence[tuple[str, ...]]

_Z95 = 1.959963984540054  # 97.5 % point of the normal distribution
_MOST_NAMED, _MOST_CLASSES = 5, 20  # in a message


@dataclass(frozen=True)
class ClassScore:
    """How well one class is told from the others.

    Attributes:
        name: the class.
        precision: share of the rows given this class that have it; 0 if none was.
        recall: share of the rows with this class that were given it; 0 if there is none.
        f1: harmonic mean of both.
        support: rows with this class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Evaluation:
    """Predicted labels against true ones; all shares are between 0 and 1.

    Attributes:
        rows: number of rows.
        wrong: rows with a wrong label; multi-label: whose set of labels is not exactly right.
        error: their share.
        error_interval: 95 % interval of the error (Wilson).
        accuracy: 1 - error.
        macro_f1: mean F1 of the classes that occur among true or predicted labels.
        micro_f1: F1 over all decisions; the accuracy, unless multi-label.
        multi_label: whether a row can have several labels.
        classes: scores of each class, in the order of the model.
        confusion: rows of true class i (first index) predicted as class j; None if multi-label.
    """

    rows: int
    wrong: int
    error: float
    error_interval: tuple[float, float]
    accuracy: float
    macro_f1: float
    micro_f1: float
    multi_label: bool
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...] | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


def wilson_interval(wrong: int, rows: int, z: float = _Z95) -> tuple[float, float]:
    """Interval of a share that `wrong` of `rows` estimate; never outside of [0, 1].

    With p = wrong / rows and n = rows:
    (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)
    (Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927).

    Args:
        wrong: number of errors.
        rows: n, at least 1.
        z: normal quantile; 1.96 for 95 %.
    """
    p, n = wrong / rows, rows
    center = p + z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return max(0.0, (center - half) / scale), min(1.0, (center + half) / scale)


def evaluate_labels(
    truth: Labels,
    predicted: Labels,
    classes: Sequence[str],
    *,
    multi_label: bool = False,
    name: str = "data",
) -> Evaluation:
    """Compare predicted labels with true ones.

    Args:
        truth: a class per row; with `multi_label` a tuple of them.
        predicted: as many, of the same kind.
        classes: those the model knows, in its order.
        multi_label: whether a row can have several labels.
        name: what messages call the data.

    Raises:
        InputError: no rows, or labels that the model does not know, which are named.
    """
    if not len(truth):
        raise InputError(f"{name}: has no rows", expected="rows to evaluate on")
    require_known(truth, classes, name)
    if multi_label:
        wrong = sum(set(t) != set(p) for t, p in zip(truth, predicted, strict=True))
    else:
        wrong = sum(t != p for t, p in zip(truth, predicted, strict=True))
    targets, answers = indicators(truth, classes), indicators(predicted, classes)
    scores = _class_scores(targets, answers, classes)
    occurs = targets.sum(axis=0) + answers.sum(axis=0) > 0
    f1 = [score.f1 for score, counted in zip(scores, occurs, strict=True) if counted]
    hits = int((targets & answers).sum())
    decisions = int(targets.sum() + answers.sum())
    return Evaluation(
        rows=len(truth),
        wrong=wrong,
        error=wrong / len(truth),
        error_interval=wilson_interval(wrong, len(truth)),
        accuracy=1 - wrong / len(truth),
        macro_f1=float(np.mean(f1)) if f1 else 0.0,
        micro_f1=2 * hits / decisions if decisions else 0.0,
        multi_label=multi_label,
        classes=scores,
        confusion=None if multi_label else _confusion(targets, answers),
    )


def indicators(
    labels: Sequence[str | tuple[str, ...]], classes: Sequence[str]
) -> NDArray[np.bool_]:
    """Which row has which class: (N, C)."""
    position = {label: column for column, label in enumerate(classes)}
    table = np.zeros((len(labels), len(classes)), dtype=np.bool_)
    for row, label in enumerate(labels):
        for one in (label,) if isinstance(label, str) else label:
            table[row, position[one]] = True
    return table


def require_known(labels: Labels, classes: Sequence[str], name: str = "data") -> None:
    """Check that a model can give these labels.

    Raises:
        InputError: some it does not know; they are named.
    """
    unknown = unknown_labels(labels, classes)
    if unknown:
        more = ", ..." if len(classes) > _MOST_CLASSES else ""
        raise InputError(
            f"{name}: {unknown} unknown to the model",
            expected=f"its classes {', '.join(map(repr, classes[:_MOST_CLASSES]))}{more}",
            hint="Use the names of the training data, or name another column with `--label COL`.",
        )


def unknown_labels(labels: Labels, classes: Sequence[str]) -> str | None:
    """Name the labels that are not among `classes`, with their rows; None if there are none."""
    counts = Counter(_flat(labels))
    unknown = sorted(set(counts) - set(classes))
    if not unknown:
        return None
    named = ", ".join(f"{name!r} ({_rows(counts[name])})" for name in unknown[:_MOST_NAMED])
    if len(unknown) == 1:
        return f"the label {named} is"
    return f"{len(unknown)} labels, {named}{', ...' * (len(unknown) > _MOST_NAMED)}, are"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _class_scores(
    targets: NDArray[np.bool_], answers: NDArray[np.bool_], classes: Sequence[str]
) -> tuple[ClassScore, ...]:
    hits, given, support = (table.sum(axis=0) for table in (targets & answers, answers, targets))
    return tuple(
        ClassScore(
            label,
            precision=_share(int(hits[i]), int(given[i])),
            recall=_share(int(hits[i]), int(support[i])),
            f1=_share(2 * int(hits[i]), int(given[i] + support[i])),
            support=int(support[i]),
        )
        for i, label in enumerate(classes)
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _confusion(
    targets: NDArray[np.bool_], answers: NDArray[np.bool_]
) -> tuple[tuple[int, ...], ...]:
    counts = targets.astype(np.int64).T @ answers.astype(np.int64)
    return tuple(tuple(row) for row in counts.tolist())


def _flat(labels: Labels) -> Iterator[str]:
    if labels and isinstance(labels[0], str):
        return iter(cast("Sequence[str]", labels))
    return chain.from_iterable(cast("Sequence[tuple[str, ...]]", labels))
