"""Texts worth reading: the most confident mistakes, and rows whose label is likely wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ulmfit.apps.report.figures import count, probability
from ulmfit.apps.report.label_errors import Suspect, find_label_errors
from ulmfit.apps.report.markup import Markup, Part, excerpt, join, tag
from ulmfit.apps.report.mistakes import confident_mistakes, name_of
from ulmfit.apps.report.subject import Answered, Section, Subject
from ulmfit.data.datasets import Dataset

MOST = 12  # texts in a list: what somebody reads
_CHARS = 360  # of a text at once
_MORE_CHARS = 3_000  # when it is opened

# Training rows are classified again for this: so many characters take a few seconds.
_CHARS_OF_TRAINING = 150_000
_ROWS_OF_TRAINING = 20_000


def mistakes(tested: Answered) -> Section:
    """The wrong answers that the model was surest of."""
    found = confident_mistakes(
        tested.truth, tested.predicted, tested.probabilities, multi_label=tested.dataset.multi_label
    )
    if not found:
        return Section("mistakes", "Mistakes", "There are none on these rows.", Markup())
    shown = [
        card(
            tested.dataset.texts[each.row],
            [("true", each.true, "right"), ("predicted", each.predicted, "wrong")],
            f"{_numbered(tested.dataset, each.row)} · {probability(each.confidence)} sure",
        )
        for each in found[:MOST]
    ]
    lead = (
        f"{count(len(found), 'row')} {'is' if len(found) == 1 else 'are'} wrong; "
        + ("here they are" if len(found) <= MOST else f"here are {MOST} of them")
        + ", the surest first. Such mistakes are often labels to mend, or a kind of text that the "
        "training data lack. " + _numbering(tested.dataset)
    )
    return Section("mistakes", "Most confident mistakes", lead, _listed(shown))


def label_errors(subject: Subject, tested: Answered) -> Section:
    """Rows that confident learning holds for mislabelled."""
    several = subject.multi_label
    found = find_label_errors(
        tested.probabilities, tested.truth, subject.labels, multi_label=several
    )
    parts: list[Part] = [tag("h3", f"Test rows ({len(found):,})"), _suspects(tested.dataset, found)]
    if subject.train is not None:
        sample = _sample(subject.train)
        probabilities = subject.predictor.predict_proba(sample.texts)
        assert sample.labels is not None
        again = find_label_errors(probabilities, sample.labels, subject.labels, multi_label=several)
        of = "all" if len(sample) == len(subject.train) else "a sample of"
        note = (
            f"Of {of} {count(len(sample), 'training row')}: those that the model contradicts "
            "although it has learnt them. Fewer are found than with a model that has not."
        )
        parts += [tag("h3", f"Training rows ({len(again):,})"), tag("p", note, class_="note")]
        parts.append(_suspects(sample, again))
    lead = (
        "Rows where the model is surer of another label than it usually is of rows that do have "
        "that label (confident learning, Northcutt et al. 2021), the surest first. Look at them "
        "before you blame the model: the test error counts them as wrong. "
        + _numbering(tested.dataset, *([subject.train] if subject.train is not None else []))
    )
    return Section("labels", "Likely label errors", lead, join(parts))


def _sample(train: Dataset) -> Dataset:
    """Evenly spaced rows, as many as can be classified in a few seconds; the order stays."""
    chars = sum(map(len, train.texts))
    rows = min(len(train), _ROWS_OF_TRAINING, int(len(train) * _CHARS_OF_TRAINING / max(chars, 1)))
    if rows >= len(train):
        return train
    return train.subset(np.linspace(0, len(train) - 1, max(1, rows), dtype=np.int64))


def _suspects(dataset: Dataset, found: Sequence[Suspect]) -> Markup:
    if not found:
        return tag("p", "None were found.", class_="note")
    assert dataset.labels is not None
    shown = []
    for each in found[:MOST]:
        given, suggested = each.given, each.suggested
        chips = [("labelled", given, "wrong"), ("rather", suggested, "right")]
        if dataset.multi_label:
            chips.insert(0, ("all labels", name_of(dataset.labels[each.row]), "plain"))
        odds = f"{probability(each.p_suggested)} against {probability(each.p_given)}"
        more = f"{_numbered(dataset, each.row)} · {odds}"
        shown.append(card(dataset.texts[each.row], chips, more))
    return _listed(shown)


def _numbered(dataset: Dataset, row: int) -> str:
    return f"row {dataset.source_row(row):,}"


def _numbering(*datasets: Dataset) -> str:
    names = " and ".join(dict.fromkeys(dataset.name for dataset in datasets))
    return f"Rows are numbered as in {names}, from 1; a header is not counted."


def card(text: str, chips: Sequence[tuple[str, str, str]], more: str) -> Markup:
    """A text with labels: (what it is, its name, style)."""
    labels = [
        tag(
            "span",
            tag("span", what, class_="what"),
            tag("b", name, dir="auto"),
            class_=f"chip {style}",
        )
        for what, name, style in chips
    ]
    head = tag("div", labels, tag("span", more, class_="more"), class_="head")
    return tag("li", head, shown_text(text), class_="card")


def shown_text(text: str) -> Markup:
    """A text, a long one to be opened; bounded in either form."""
    short = excerpt(text, _CHARS)
    if not text.strip():
        return tag("p", "(empty)", class_="text note")
    if short == text:
        return tag("p", text, class_="text", dir="auto")
    opened = tag("p", excerpt(text, _MORE_CHARS), class_="text", dir="auto")
    return tag("details", tag("summary", short, class_="text", dir="auto"), opened)


def _listed(cards: Sequence[Markup]) -> Markup:
    return tag("ul", cards, class_="cards")
