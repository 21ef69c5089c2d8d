from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.apps.report.conftest import make_subject, rows
from ulmfit.apps.report.overlap import overlap
from ulmfit.data.datasets import Dataset

Read = Callable[[str], Any]
LONG = "the story of the film was wonderful and the ending of it was lovely too"


def test_texts_in_both_and_the_error_without_them(read: Read) -> None:
    own = ["a scene with a song", "the actor was fine in this one"]
    test = Dataset([LONG, "The film was GREAT!", *own], ["glad", "glad", "sad", "glad"])
    train = Dataset(["the film was great .", f"{LONG} .  again"], ["sad", "glad"])
    subject = make_subject(test)
    assert subject.tested is not None
    section = overlap(subject.tested, train)
    page = read(section.body)
    assert str(section.lead).startswith(
        "1 test text is in the training data as well, and 1 more nearly so."
    )
    assert "on 2 rows" in page.text
    first, second = page.text.index("The film was GREAT!"), page.text.index("again")
    assert first < second  # another label comes first
    assert page.values("class").count("chip wrong") == 2


def test_nothing_in_both() -> None:
    subject = make_subject(rows(2))
    assert subject.tested is not None
    section = overlap(subject.tested, Dataset(["entirely other words"], ["glad"]))
    assert str(section.lead).startswith("No test text is in the training data.")


def test_everything_in_both() -> None:
    subject = make_subject(rows(4))
    assert subject.tested is not None
    section = overlap(subject.tested, rows(4))
    assert "No test row is left that the model has not seen." in section.body
