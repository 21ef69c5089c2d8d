from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.apps.report.conftest import make_subject, rows
from ulmfit.apps.report.facts import data_summary, next_steps, settings
from ulmfit.apps.report.subject import Subject
from ulmfit.data.datasets import Dataset

Read = Callable[[str], Any]


def test_rows_lengths_and_labels(subject: Subject, read: Read) -> None:
    section = data_summary(subject)
    assert section is not None
    page = read(section.body)
    assert "rows6040" in page.text  # of training, of test
    assert "30 (50.0 %)" in page.text
    assert section.lead == "Test rows: a file."


def test_rare_labels_are_counted(read: Read) -> None:
    names = tuple(f"label {i:02}" for i in range(40))
    section = data_summary(make_subject(Dataset(list(names), list(names)), labels=names))
    assert section is not None
    assert "and 10 rarer labels" in read(section.body).text


def test_without_any_rows() -> None:
    assert data_summary(replace(make_subject(rows(2)), tested=None)) is None


def test_settings_by_their_dotted_names(subject: Subject, read: Read) -> None:
    page = read(settings(subject).body)
    for part in ("none at all", "CC0", "rates.lr0.25", "dropouts.input p0.123", "epochs3"):
        assert part in page.text
    assert page.tags.count("details") == 2


def test_next_steps(subject: Subject, read: Read) -> None:
    page = read(next_steps(subject).body)
    assert page.text == "Label a file.ulmfit predict model FILE"
