from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tests.apps.report.conftest import answered_by, make_subject, member, rows
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.report import examples as module
from ulmfit.apps.report.examples import label_errors, mistakes, shown_text
from ulmfit.apps.report.mistakes import right
from ulmfit.apps.report.subject import Answered, Subject
from ulmfit.data.datasets import Dataset

Read = Callable[[str], Any]


def test_the_surest_mistakes_are_shown(subject: Subject, read: Read) -> None:
    assert subject.tested is not None
    section = mistakes(subject.tested)
    wrong = int((~right(subject.tested.truth, subject.tested.predicted)).sum())
    assert str(section.lead).startswith(f"{wrong} rows are wrong")
    page = read(section.body)
    assert page.tags.count("li") == min(wrong, 12)
    first = subject.tested.probabilities.max(axis=1)[
        ~right(subject.tested.truth, subject.tested.predicted)
    ].max()
    assert f"{first:.2f}"[:3] in page.text.split(" sure")[0]


def test_rows_have_the_numbers_of_the_file(subject: Subject, read: Read) -> None:
    assert subject.tested is not None
    whole = subject.tested.dataset
    moved = replace(whole, origin=[row + 1_000 for row in range(len(whole))], name="mail.csv")
    section = mistakes(replace(subject.tested, dataset=moved))
    numbers = re.findall(r"row ([\d,]+) ·", read(section.body).text)
    assert numbers and all(number.startswith("1,0") for number in numbers)
    assert "Rows are numbered as in mail.csv" in str(section.lead)


def test_no_mistakes() -> None:
    dataset = rows(6)
    assert dataset.labels is not None
    probabilities = np.array([[1, 0], [0, 1]] * 3, np.float32)
    found = answered_by(Predictor([member(("glad", "sad"))], device="cpu"), dataset)
    found = replace(found, predicted=dataset.labels, probabilities=probabilities)
    assert mistakes(found).lead == "There are none on these rows."


def test_a_planted_label_error_is_shown(read: Read) -> None:
    subject = make_subject(rows(40, seed=1))
    assert subject.tested is not None
    answers = list(subject.tested.predicted)  # the model is right but for one row, labelled anew
    surest = int(subject.tested.probabilities.max(axis=1).argmax())
    labels = [str(answer) for answer in answers]
    labels[surest] = {"glad": "sad", "sad": "glad"}[labels[surest]]
    dataset = replace(subject.tested.dataset, labels=labels)
    section = label_errors(subject, replace(subject.tested, dataset=dataset))
    page = read(section.body)
    assert "Test rows (1)" in page.text
    assert dataset.texts[surest] in page.text


def test_training_rows_are_looked_at_too_in_a_sample(
    subject: Subject, read: Read, monkeypatch: Any
) -> None:
    assert subject.tested is not None
    assert "Of all 60 training rows" in read(label_errors(subject, subject.tested).body).text
    monkeypatch.setattr(module, "_ROWS_OF_TRAINING", 20)
    page = read(label_errors(subject, subject.tested).body)
    assert "Of a sample of 20 training rows" in page.text


def test_several_labels(read: Read) -> None:
    labels = [("glad",), ("sad",), ("glad", "sad"), ()] * 10
    dataset = Dataset(rows(40).texts, labels, multi_label=True)
    subject = make_subject(dataset, dataset)
    assert isinstance(subject.tested, Answered)
    read(label_errors(subject, subject.tested).body)
    read(mistakes(subject.tested).body)


def test_long_texts_are_cut_and_can_be_opened(read: Read) -> None:
    page = read(shown_text("word " * 10_000))
    assert page.tags.count("summary") == 1
    assert len(page.text) < 4_000
    assert read(shown_text("  ")).text == "(empty)"
