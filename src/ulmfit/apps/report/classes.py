"""Which classes are told apart: precision, recall and F1 of each, and the confusions."""

from __future__ import annotations

from collections.abc import Sequence

from ulmfit.apps.report.figures import count, percent
from ulmfit.apps.report.markup import Markup, join, tag
from ulmfit.apps.report.subject import Answered, Section
from ulmfit.train.metrics import ClassScore, Evaluation

_MOST_CLASSES = 100  # in the table; the hardest are shown
_MOST_IN_MATRIX = 16
_MOST_CONFUSIONS = 20


def classes(tested: Answered) -> Section:
    """Table of the classes, and the confusion matrix or the most frequent confusions."""
    score = tested.evaluation
    present = [each for each in score.classes if each.support]
    hardest = min(present, key=lambda each: each.f1) if present else None
    lead = (
        f"Hardest is “{hardest.name}”: {percent(hardest.recall)} of its rows are found, and "
        f"{percent(hardest.precision)} of what is called so is it."
        if hardest is not None and hardest.f1 < 1
        else "No class is confused with another on these rows."
    )
    parts = [_table(score)]
    if score.confusion is not None:
        parts.append(_confusions(score))
    return Section("classes", "Classes", lead, tag("div", parts, class_="stack"))


def _table(score: Evaluation) -> Markup:
    shown: Sequence[ClassScore] = score.classes
    note = None
    if len(shown) > _MOST_CLASSES:
        shown = sorted(shown, key=lambda each: each.f1)[:_MOST_CLASSES]
        note = f"The {_MOST_CLASSES} of {len(score.classes):,} classes with the lowest F1."
    head = tag(
        "tr",
        tag("th", "class", scope="col"),
        [
            tag("th", name, scope="col", class_="number")
            for name in ("precision", "recall", "F1", "rows")
        ],
    )
    return tag(
        "div",
        tag("table", tag("caption", note) if note else None, tag("thead", head),
            tag("tbody", [_row(each) for each in shown])),
        class_="scroll",
    )  # fmt: skip


def _row(each: ClassScore) -> Markup:
    shares = (each.precision, each.recall, each.f1)
    return tag(
        "tr",
        tag("th", each.name, scope="row", dir="auto"),
        [
            tag(
                "td",
                tag("span", percent(share), class_="gauge", style=f"--s:{share:.3f}"),
                class_="number",
            )
            for share in shares
        ],
        tag("td", f"{each.support:,}", class_="number"),
    )


def _confusions(score: Evaluation) -> Markup:
    if len(score.classes) <= _MOST_IN_MATRIX:
        return join([tag("h3", "Confusion matrix"), _matrix(score)])
    return join([tag("h3", "Most frequent confusions"), _most_frequent(score)])


def _matrix(score: Evaluation) -> Markup:
    assert score.confusion is not None
    names = [each.name for each in score.classes]
    head = tag(
        "tr",
        tag("th", "true ↓  predicted →", scope="col", class_="corner"),
        [tag("th", name, scope="col", class_="number", dir="auto") for name in names],
    )
    body = []
    for i, (name, counts) in enumerate(zip(names, score.confusion, strict=True)):
        total = max(1, sum(counts))
        cells = [
            tag("td", f"{number:,}" if number else "·", style=f"--s:{number / total:.3f}",
                class_=("right" if i == j else "wrong") + ("" if number else " none"),
                title=f"{number:,} of {total:,} rows of {name} called {names[j]}")
            for j, number in enumerate(counts)
        ]  # fmt: skip
        body.append(tag("tr", tag("th", name, scope="row", dir="auto"), cells))
    table = tag("table", tag("thead", head), tag("tbody", body), class_="matrix")
    caption = tag("p", "Rows are true classes; the shade is the share of the row.", class_="note")
    return join([tag("div", table, class_="scroll"), caption])


def _most_frequent(score: Evaluation) -> Markup:
    assert score.confusion is not None
    names = [each.name for each in score.classes]
    wrong = sorted(
        (-number, names[i], names[j])
        for i, row in enumerate(score.confusion)
        for j, number in enumerate(row)
        if i != j and number
    )
    rows = [
        tag("tr", tag("td", f"{-number:,}", class_="number"), tag("td", true), tag("td", said))
        for number, true, said in wrong[:_MOST_CONFUSIONS]
    ]
    head = [tag("th", name, scope="col") for name in ("rows", "true", "predicted")]
    more = len(wrong) - len(rows)
    note = tag("p", f"and {count(more, 'other pair')}", class_="note") if more > 0 else None
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", rows))
    return join([tag("div", table, class_="scroll"), note])
