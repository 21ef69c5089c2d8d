from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.apps.report.conftest import make_subject, plain, rival, rows
from ulmfit.apps.report.figures import percent
from ulmfit.apps.report.headline import headline
from ulmfit.apps.report.subject import Answered, Subject
from ulmfit.train.metrics import evaluate_labels

Read = Callable[[str], Any]


def answering(subject: Subject, wrong: int) -> Subject:
    """The same, with so many wrong answers."""
    tested = subject.tested
    assert tested is not None
    turned = {"glad": "sad", "sad": "glad"}
    answers = [turned[str(x)] if i < wrong else str(x) for i, x in enumerate(tested.truth)]
    score = evaluate_labels(tested.truth, answers, subject.labels)
    return replace(
        subject, tested=Answered(tested.dataset, tested.probabilities, answers, score), rivals=()
    )


def test_error_beside_the_others(subject: Subject, read: Read) -> None:
    section = headline(subject)
    page = read(section.body)
    assert subject.tested is not None
    assert plain(percent(subject.tested.evaluation.error)) in page.text
    assert "Another method" in page.text
    assert (
        "Always the same answer, “glad”, is wrong on" in page.text
    )  # the more frequent label of the training rows
    assert "McNemar's test" in page.text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (0, "No text gets the wrong label: 0 of 40 rows in this test."),
        (4, "About one text in 10 gets the wrong label: 4 of 40 rows in this test."),
        (16, "40 % of the texts get the wrong label: 16 of 40 rows in this test."),
        (30, "75 % of the texts get the wrong label: 30 of 40 rows in this test."),
    ],
)
def test_the_verdict_in_words(subject: Subject, wrong: int, said: str) -> None:
    assert plain(headline(answering(subject, wrong)).lead).startswith(said)


def test_the_mean_is_of_the_classes_that_occur(subject: Subject) -> None:
    assert "mean of 2 classes" in headline(subject).body
    tested = subject.tested
    assert tested is not None
    same = ["glad"] * len(tested.truth)
    data = replace(tested.dataset, labels=same)
    score = evaluate_labels(same, same, subject.labels)
    alike = replace(subject, tested=Answered(data, tested.probabilities, same, score), rivals=())
    assert "mean of 1 of 2 classes" in headline(alike).body


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        (0, 20, "this model is the better one"),
        (20, 0, "Another method is better here, and simpler"),
        (3, 4, "can well be chance"),
    ],
)
def test_a_difference_is_judged(subject: Subject, mine: int, theirs: int, said: str) -> None:
    other = answering(subject, theirs).tested
    assert other is not None
    found = answering(subject, mine)
    found = replace(found, rivals=(rival(found, other.predicted),))
    assert said in headline(found).body.replace("&#x27;", "'")


def test_without_test_rows() -> None:
    found = replace(make_subject(rows(4)), tested=None)
    assert "nothing is known" in plain(headline(found).lead)


def test_without_training_rows_there_is_no_simplest_method() -> None:
    assert "Always" not in headline(make_subject(rows(10))).body
