"""Which words speak for a label and which against it, in a few short test texts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ulmfit.apps.explain import Explanation, explain
from ulmfit.apps.report.figures import percent, probability
from ulmfit.apps.report.markup import Markup, tag
from ulmfit.apps.report.mistakes import name_of, right
from ulmfit.apps.report.subject import Answered, Section, Subject
from ulmfit.train.reliability import row_confidence

_MOST_RIGHT, _MOST_WRONG = 6, 2
# Integrated gradients read a text some dozen times: short ones are told in a moment.
_CHARS = 300
_LEAST_SHARE = 0.04  # of the strongest word: weaker ones get no colour


def highlights(subject: Subject, tested: Answered) -> Section | None:
    """Attributions for a right answer of each class and for two mistakes; None without texts."""
    rows = list(_chosen(subject, tested))
    if not rows:
        return None
    truth = tested.truth
    shown = []
    for row, label, good in rows:
        found = explain(subject.predictor, tested.dataset.texts[row], label)
        shown.append(_card(found, name_of(truth[row]), good))
    lead = (
        "Words that speak for the label are underlaid in blue, words that speak against it in red, "
        "the stronger the more (integrated gradients from a text whose words are all dropped; "
        "they add up to the change in log-odds). Point at a word for its number."
    )
    return Section("words", "What the model looks at", lead, tag("ul", shown, class_="cards"))


def _chosen(subject: Subject, tested: Answered) -> Iterator[tuple[int, str, bool]]:
    """Rows and labels to explain, and whether the answer is right.

    Of each class the surest right row, then the surest mistakes.
    """
    good = right(tested.truth, tested.predicted)
    p = tested.probabilities
    short = np.array([len(t.strip()) > 0 and len(t) <= _CHARS for t in tested.dataset.texts])
    confidence = row_confidence(p, multi_label=subject.multi_label)
    taken: set[int] = set()
    classes = sorted(
        range(len(subject.labels)), key=lambda column: -tested.evaluation.classes[column].support
    )
    for column in classes:
        if len(taken) == _MOST_RIGHT:
            break
        name = subject.labels[column]
        has = np.array([name in _labels(label) for label in tested.truth])
        rows = np.flatnonzero(good & short & has)
        rows = rows[[int(row) not in taken for row in rows]] if len(rows) else rows
        if len(rows):
            best = int(rows[p[rows, column].argmax()])
            taken.add(best)
            yield best, name, True
    wrong = np.flatnonzero(~good & short)
    for row in wrong[np.argsort(-confidence[wrong], kind="stable")][:_MOST_WRONG]:
        yield int(row), subject.labels[int(p[row].argmax())], False


def _labels(label: str | tuple[str, ...]) -> tuple[str, ...]:
    return (label,) if isinstance(label, str) else label


def _card(found: Explanation, truth: str, good: bool) -> Markup:
    style = "right" if good else "wrong"
    chips = [tag("span", tag("span", "for", class_="what"), tag("b", found.label, dir="auto"),
                 class_=f"chip {style}")]  # fmt: skip
    if not good:
        chips.append(
            tag("span", tag("span", "true", class_="what"), tag("b", truth, dir="auto"),
                class_="chip right")
        )  # fmt: skip
    more = tag("span", f"{probability(found.probability)} sure", class_="more")
    text = tag("p", list(marked(found)), class_="text words", dir="auto")
    return tag("li", tag("div", chips, more, class_="head"), text, class_="card")


def marked(found: Explanation) -> Iterator[str]:
    """The whole text, letter by letter, with the words that matter underlaid."""
    strongest = max((abs(span.attribution) for span in found.spans), default=0.0)
    done = 0
    for span in found.spans:
        share = span.attribution / strongest if strongest else 0.0
        if abs(share) < _LEAST_SHARE:
            continue
        yield found.text[done : span.start]
        yield tag(
            "mark",
            found.text[span.start : span.end],
            class_="for" if share > 0 else "against",
            style=f"--s:{abs(share):.2f}",
            title=f"{span.attribution:+.2f} log-odds, {percent(abs(share), 0)} of the strongest",
        )
        done = span.end
    yield found.text[done:]
