from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ulmfit.data import datasets
from ulmfit.experiments import protocol
from ulmfit.experiments.protocol import load_parts, read_test
from ulmfit.experiments.recipes import DataSource

TREC = DataSource(source="name:trec6", test_rows=60)


def test_a_tenth_is_held_out_and_never_trained_on() -> None:
    parts = load_parts(TREC, "validation", None)
    assert (len(parts.train), len(parts.valid)) == (4907, 545)
    assert parts.task_texts("validation") == parts.train.texts
    assert len(parts.task_texts("test")) == 5452


def test_low_shot_draws_are_balanced_nested_and_change_with_the_seed() -> None:
    parts = load_parts(TREC, "validation", None)
    small, large = parts.labelled(60, 1), parts.labelled(300, 1)
    assert set(Counter(small.labels).values()) == {10}
    assert set(small.texts) <= set(large.texts) <= set(parts.train.texts)
    assert parts.labelled(60, 2).texts != small.texts


def test_all_labels_with_and_without_the_validation_rows() -> None:
    parts = load_parts(TREC, "test", None)
    assert len(parts.labelled(None, 0)) == 4907
    assert len(parts.labelled(None, 0, all_rows=True)) == 5452


def test_the_test_set_is_not_read_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = []
    real = datasets.load_dataset

    def watched(*args: object, split: str = "train", **kwargs: object) -> object:
        splits.append(split)
        return real(*args, split=split, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(protocol, "load_dataset", watched)
    load_parts.cache_clear()
    load_parts(TREC, "test", None)
    assert splits == ["train"]
    assert len(read_test(TREC, None)) == 60
    assert splits == ["train", "test"]


def test_lengths_are_reckoned_in_words_and_signs() -> None:
    parts = load_parts(TREC, "validation", None)
    assert parts.text_tokens == 14  # all 4,907 have 68,193


def test_the_digest_follows_rows_and_limits(rows: Path) -> None:
    whole = DataSource(source=str(rows))
    limited = DataSource(source=str(rows), ablation_rows=40)
    first, second = load_parts(whole, "validation", None), load_parts(limited, "validation", None)
    assert first.digest != second.digest
    assert len(second.train) + len(second.valid) == 40
    assert load_parts(limited, "test", None).digest == first.digest
