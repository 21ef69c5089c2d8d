from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.apps.report.conftest import make_subject
from ulmfit.apps.explain import Explanation, Span
from ulmfit.apps.report.highlights import highlights, marked
from ulmfit.apps.report.markup import join
from ulmfit.apps.report.subject import Subject
from ulmfit.data.datasets import Dataset

Read = Callable[[str], Any]


def explained(text: str, *spans: Span) -> Explanation:
    return Explanation(text, "a", 0.9, 2.0, 0.0, spans, "integrated-gradients")


def test_a_right_answer_of_each_class_and_two_mistakes(subject: Subject, read: Read) -> None:
    assert subject.tested is not None
    section = highlights(subject, subject.tested)
    assert section is not None
    page = read(section.body)
    given = {str(answer) for answer in subject.tested.predicted}
    assert 2 < page.tags.count("li") <= 2 + len(given)
    assert "mark" in page.tags


def test_words_are_marked_and_every_letter_stays(read: Read) -> None:
    text = "<b>good</b> & bad, so so"
    found = explained(text, Span(3, 7, 2.0), Span(14, 17, -1.0), Span(19, 21, 0.01))
    page = read(join(marked(found)))
    assert page.text == text
    assert page.values("class") == ["for", "against"]
    assert page.values("style") == ["--s:1.00", "--s:0.50"]
    assert page.values("title") == [
        "+2.00 log-odds, 100 % of the strongest",
        "-1.00 log-odds, 50 % of the strongest",
    ]


def test_nothing_to_mark(read: Read) -> None:
    assert read(join(marked(explained("text", Span(0, 4, 0.0))))).text == "text"
    assert read(join(marked(explained("")))).text == ""


def test_long_texts_are_left_out() -> None:
    subject = make_subject(Dataset(["the film was great . " * 40] * 4, ["glad"] * 4))
    assert subject.tested is not None
    assert highlights(subject, subject.tested) is None


def test_several_labels(read: Read) -> None:
    labels = [("glad",), ("sad",), ("glad", "sad"), ()]
    texts = ["the film was great", "the song was dull", "the story", "an actor"]
    subject = make_subject(Dataset(texts, labels, multi_label=True))
    assert subject.tested is not None
    answered = replace(subject.tested, predicted=labels)
    section = highlights(subject, answered)
    assert section is not None
    read(section.body)


def test_a_mistake_is_one_although_its_surest_label_is_true(read: Read) -> None:
    labels = [("glad",), ("sad",), ("glad", "sad"), ()]
    texts = ["the film was great", "the song was dull", "the story", "an actor"]
    subject = make_subject(Dataset(texts, labels, multi_label=True))
    assert subject.tested is not None
    wrong = replace(subject.tested, predicted=[("glad", "sad")] * 2 + [("glad",), ("sad",)])
    section = highlights(subject, wrong)
    assert section is not None
    assert "chip wrong" in section.body
    assert section.body.count("chip right") == section.body.count(">true<")
