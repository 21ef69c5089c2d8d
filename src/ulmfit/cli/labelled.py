"""Labelled data as the verbs are given it: training rows, and rows to test on."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ulmfit.errors import InputError, SettingsError

if TYPE_CHECKING:
    from ulmfit.data.datasets import Dataset, Split

SEPARATOR = "|"  # of labels, as in the predictions that are written
TEST_FRACTION = 0.2
_MOST_HELD_OUT = 5_000  # rows; the interval is one percentage point wide by then
_LARGEST_FRACTION = 0.9
_SPLIT_SEED = 0  # the same test rows for every --seed: runs can be compared


@dataclass(frozen=True)
class Columns:
    """How to read the files of one command.

    Attributes:
        text: text column, found by itself if None.
        label: label column, found by itself if None.
        label_separator: parts several labels in one string.
        encoding: of text files.
        data_dir: where named sets are.
        multi_label: a row can have several labels, in one string.
        where: of a corpus, only the rows with these values by column.
    """

    text: str | None = None
    label: str | None = None
    label_separator: str | None = None
    encoding: str | None = None
    data_dir: Path | None = None
    multi_label: bool = False
    where: Mapping[str, Collection[str]] | None = None

    @property
    def separator(self) -> str | None:
        """What parts several labels; None for one label per row."""
        return self.label_separator or (SEPARATOR if self.multi_label else None)

    def load(self, source: str, split: Split = "train") -> Dataset:
        """Read labelled data."""
        from ulmfit.data.datasets import load_dataset

        return load_dataset(
            source,
            text=self.text,
            label=self.label,
            split=split,
            data_dir=self.data_dir,
            encoding=self.encoding,
            label_separator=self.separator,
        )


@dataclass(frozen=True)
class Parts:
    """Rows to train on and rows to test on.

    Attributes:
        train: labelled, none of them in `test`.
        test: None if there is nothing to test on.
        origin: where the test rows come from, for people.
    """

    train: Dataset
    test: Dataset | None
    origin: str

    def summary(self) -> str:
        """Two lines for people."""
        classes = f"{len(self.train.classes)} classes"
        lines = [f"training data: {len(self.train):,} rows, {classes}, from {self.train.name}"]
        if self.test is not None:
            lines.append(f"test data: {len(self.test):,} rows, {self.origin}")
        return "\n".join(lines)


def load_parts(
    data: str,
    columns: Columns,
    *,
    test: str | None = None,
    test_fraction: float = TEST_FRACTION,
    limit: int | None = None,
    seed: int = 0,
) -> Parts:
    """Read training and test rows; where no test data is named or comes along, hold a part out.

    Args:
        data: training data.
        columns: how to read both.
        test: test data, if it is a source of its own.
        test_fraction: share to hold out where there is no other; 0 for none.
        limit: train on so many rows, drawn with the classes in proportion.
        seed: of that draw.

    Raises:
        InputError: data that cannot be read, or test labels that do not occur in training.
        SettingsError: the share is out of range.
    """
    from ulmfit.data.datasets import training_rows
    from ulmfit.data.locations import available_splits

    if not 0 <= test_fraction <= _LARGEST_FRACTION:
        raise SettingsError(
            f"--test-fraction {test_fraction:g} is out of range",
            expected=f"a share from 0 to {_LARGEST_FRACTION}",
        )
    train = training_rows(columns.load(data))
    _warn_of_joined(train)
    if test is None and {"train", "test"} <= set(available_splits(data, data_dir=columns.data_dir)):
        parts = Parts(train, columns.load(data, "test"), f"the test split of {data}")
    elif test is not None:
        parts = Parts(train, columns.load(test, "test"), test)
    elif test_fraction:
        parts = _hold_out(train, test_fraction)
    else:
        parts = Parts(train, None, "nothing")
    parts = replace(parts, train=_limited(parts.train, limit, seed))
    _require_same_labels(parts)
    return parts


def _warn_of_joined(dataset: Dataset) -> None:
    """Classes such as "billing|urgent" train without a fault, and are not what was meant."""
    from ulmfit.data.labels import joining_mark, several_flag

    mark = None if dataset.multi_label else joining_mark(dataset.classes)
    if mark:
        shown = next(name for name in dataset.classes if mark in name)
        warnings.warn(
            f"{dataset.name}: labels look like several in one, such as {shown!r}; each is taken "
            f"for a class of its own. If a row can have several labels: `{several_flag(mark)}`.",
            stacklevel=2,
        )


def _hold_out(dataset: Dataset, fraction: float) -> Parts:
    from ulmfit.data.splits import split_texts

    assert dataset.labels is not None
    fraction = min(fraction, _MOST_HELD_OUT / len(dataset))
    train, test = split_texts(dataset.texts, dataset.labels, fraction, _SPLIT_SEED)
    origin = f"held out of {dataset.name} with the labels in proportion (no --test given)"
    return Parts(dataset.subset(train), dataset.subset(test), origin)


def _limited(dataset: Dataset, limit: int | None, seed: int) -> Dataset:
    from ulmfit.data.splits import stratified_draw

    if limit is None or limit >= len(dataset):
        return dataset
    assert dataset.labels is not None
    return dataset.subset(stratified_draw(dataset.labels, limit, seed))


def _require_same_labels(parts: Parts) -> None:
    """Better now than after hours of training."""
    from ulmfit.train.metrics import unknown_labels

    if parts.test is None:
        return
    if parts.test.multi_label != parts.train.multi_label:
        kind = {True: "several labels per row", False: "one label per row"}
        raise InputError(
            f"{parts.test.name}: has {kind[parts.test.multi_label]}",
            expected=f"{kind[parts.train.multi_label]}, as {parts.train.name}",
            hint="Pass `--label` or `--label-separator` so that both are read alike.",
        )
    assert parts.test.labels is not None
    unknown = unknown_labels(parts.test.labels, parts.train.classes)
    if unknown:
        raise InputError(
            f"{parts.test.name}: {unknown} not in the {len(parts.train):,} training rows",
            expected=f"labels out of {', '.join(map(repr, parts.train.classes[:20]))}",
            hint="Take these rows out, or add rows of these classes to the training data.",
        )
