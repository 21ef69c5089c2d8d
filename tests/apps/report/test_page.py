from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests import tiny
from tests.apps.report.conftest import make_subject, rows
from ulmfit.apps.report.page import report_page
from ulmfit.apps.report.subject import Step, Subject
from ulmfit.data.datasets import Dataset

Read = Callable[[str], Any]
EVIL = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def html(subject: Subject) -> str:
    return report_page(subject).decode()


def test_every_section_is_there_and_in_the_contents(html: str, read: Read) -> None:
    page = read(html)
    for name in (
        *("Result", "Classes", "Confidence", "Most confident mistakes", "What the model looks at"),
        *("Likely label errors", "Train and test overlap", "Learning curves", "Data", "Settings"),
        "How to go on",
    ):
        assert page.text.count(name) >= 2, name
    links = {value.removeprefix("#") for value in page.values("href")}
    assert links <= set(page.values("id"))


def test_it_needs_nothing_but_itself(html: str, read: Read) -> None:
    page = read(html)
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & set(page.tags)
    assert not page.values("src")
    assert all(value.startswith("#") for value in page.values("href"))
    assert not re.search(r"https?:|//[a-z]|url\(|@import", html)
    assert "default-src 'none'" in page.values("content")[0]


def test_people_who_cannot_see_it_can_read_it(html: str, read: Read) -> None:
    page = read(html)
    assert page.tags.count("h1") == 1
    assert page.values("lang") == ["en"]
    assert page.values("role").count("img") == page.tags.count("svg")
    assert all(page.values("aria-label"))
    ids = page.values("id")
    assert len(ids) == len(set(ids))


def test_texts_and_labels_of_others_stay_text(read: Read) -> None:
    texts = [f"{EVIL} the film was great {i}" for i in range(12)]
    labels = [EVIL, '"><img src=x onerror=alert(1)>'] * 6
    data = Dataset(texts, labels, name=EVIL)
    subject = make_subject(data, data, labels=tuple(sorted(set(labels))), log=b"<script>")
    subject = replace(
        subject, name=EVIL, origin=EVIL, steps=(Step(EVIL, EVIL),), predictor=subject.predictor
    )
    page = read(report_page(subject).decode())
    assert not {"script", "img"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert page.text.count(EVIL) > 10


def test_several_labels_and_no_training_rows(read: Read) -> None:
    labels = [("glad",), ("sad",), ("glad", "sad"), ()] * 5
    data = Dataset(rows(20).texts, labels, multi_label=True)
    page = read(report_page(make_subject(data)).decode())
    assert "Train and test overlap" not in page.text
    assert "any number of 2 labels" in page.text


def test_without_a_test(read: Read) -> None:
    subject = replace(make_subject(rows(2), rows(20)), tested=None)
    page = read(report_page(subject).decode())
    assert "nothing is known of how good this model is" in page.text
    assert "Learning curves" in page.text


def test_of_large_data_it_stays_small(read: Read) -> None:
    draw = random.Random(0)
    names = tuple(f"label {i}" for i in range(400))
    words = [*tiny.GLAD, *tiny.SAD, *tiny.THINGS]
    texts = [" ".join(draw.choices(words, k=300)) for _ in range(400)]
    data = Dataset(texts, list(names))
    found = report_page(make_subject(data, data, labels=names))
    assert len(found) < 600_000
    read(found.decode())
