"""The paper's protocol: which rows are trained on, held out, drawn, and tested on.

A tenth of the training rows is held out once and for all (paper, section 5: 10 %), by a seed that
does not change with the runs, so that every variant and every seed meets the same validation set.
Low-shot draws are balanced, come from the other nine tenths and change with the seed; a smaller
draw is a part of a greater one. The test set is read by `read_test`, after training; before it,
nothing but its digest is taken.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from ulmfit.data.datasets import Dataset, iter_texts, load_dataset, text_digest, training_rows
from ulmfit.data.splits import balanced_draw, stratified_draw, stratified_split
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.experiments.recipes import DataSource, Metric

VALID_FRACTION = 0.1
FIXED_SEED = 0
SAMPLE = 1000  # texts by which lengths are reckoned


@dataclass(frozen=True)
class Parts:
    """The training rows of a data set, divided.

    Attributes:
        train: rows to train on, or to draw labelled rows from.
        valid: the fixed validation set.
        unlabeled: texts without labels.
        digest: SHA-256 of all of them, in hex.
    """

    train: Dataset
    valid: Dataset
    unlabeled: list[str]
    digest: str

    @cached_property
    def text_tokens(self) -> int:
        """Mean length of the first thousand training texts, in words and signs."""
        sample = self.train.texts[:SAMPLE]
        tokenizer = Tokenizer.train(sample, kind="word", vocab_size=SAMPLE, min_freq=1)
        return round(statistics.fmean(map(len, tokenizer.encode_batch(sample))))

    def labelled(self, labels: int | None, seed: int, *, all_rows: bool = False) -> Dataset:
        """The rows whose labels may be used.

        Args:
            labels: a balanced draw of so many; None for all of the training part.
            seed: of the draw.
            all_rows: with the validation set where all labels may be used: for methods that choose
                nothing by it, before they are tested on other rows.
        """
        if labels is not None:
            assert self.train.labels is not None
            return self.train.subset(balanced_draw(self.train.labels, labels, seed))
        return joined(self.train, self.valid) if all_rows else self.train

    def task_texts(self, metric: Metric) -> list[str]:
        """All text of the task that a language model may read; no row that it is measured on."""
        held_out = self.valid.texts if metric == "test" else []
        return [*self.train.texts, *held_out, *self.unlabeled]


def rows_wanted(source: DataSource, metric: Metric) -> int | None:
    """Training rows of an experiment, None for all."""
    return source.rows if metric == "test" else source.ablation_rows or source.rows


@lru_cache(maxsize=16)  # six data sets, each with two metrics, are gone through again and again
def load_parts(source: DataSource, metric: Metric, data_dir: Path | None) -> Parts:
    """Read the training rows of a data set, limit and divide them.

    Raises:
        InputError: the data are missing or cannot be used.
    """
    whole = training_rows(load_dataset(source.source, data_dir=data_dir))
    limited = _limited(whole, rows_wanted(source, metric))
    assert limited.labels is not None
    train, valid = stratified_split(limited.labels, VALID_FRACTION, FIXED_SEED)
    unlabeled: list[str] = []
    if source.unlabeled:
        unlabeled = list(iter_texts(source.source, split="unsup", data_dir=data_dir))
    digest = text_digest([*_row_names(limited), *unlabeled])
    return Parts(limited.subset(train), limited.subset(valid), unlabeled, digest)


def read_test(source: DataSource, data_dir: Path | None) -> Dataset:
    """The test rows: for the end of a run.

    Raises:
        InputError: the data are missing or cannot be used.
    """
    whole = load_dataset(source.source, split="test", data_dir=data_dir)
    return _limited(whole, source.test_rows)


@lru_cache(maxsize=32)
def digest_of_test_rows(source: DataSource, data_dir: Path | None) -> str:
    """SHA-256 of the test rows, in hex: changed rows under the same name are other rows.

    Raises:
        InputError: the data are missing or cannot be used.
    """
    return text_digest(_row_names(read_test(source, data_dir)))


@lru_cache(maxsize=8)
def digest_of_corpus(source: str, data_dir: Path | None) -> str:
    """SHA-256 of the texts to pretrain on, in hex.

    Raises:
        InputError: the data are missing or cannot be used.
    """
    return text_digest(iter_texts(source, data_dir=data_dir))


def joined(first: Dataset, second: Dataset) -> Dataset:
    """Rows of both."""
    assert first.labels is not None and second.labels is not None
    labels = [str(label) for label in (*first.labels, *second.labels)]
    return Dataset([*first.texts, *second.texts], labels, name=first.name)


def _row_names(dataset: Dataset) -> Iterable[str]:
    assert dataset.labels is not None
    return map(repr, zip(dataset.texts, dataset.labels, strict=True))


def _limited(dataset: Dataset, rows: int | None) -> Dataset:
    if rows is None:
        return dataset
    assert dataset.labels is not None
    return dataset.subset(stratified_draw(dataset.labels, rows, FIXED_SEED))
