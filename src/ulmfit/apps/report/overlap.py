"""Test texts that are in the training data: what the model may have learnt by heart."""

from __future__ import annotations

import numpy as np

from ulmfit.apps.report.duplicates import MOST_CHARS, THRESHOLD, Pair, find_duplicates
from ulmfit.apps.report.examples import MOST, shown_text
from ulmfit.apps.report.figures import count, interval, percent
from ulmfit.apps.report.markup import Markup, join, tag
from ulmfit.apps.report.mistakes import name_of, right
from ulmfit.apps.report.subject import Answered, Section
from ulmfit.data.datasets import Dataset
from ulmfit.train.metrics import wilson_interval


def overlap(tested: Answered, train: Dataset) -> Section:
    """Pairs of test and training texts that are the same or nearly, and the error without them."""
    pairs = find_duplicates(train.texts, tested.dataset.texts)
    how = (
        "Compared by letters and digits; nearly the same means that "
        f"{percent(THRESHOLD, 0)} of all runs of five characters are in both (Jaccard index), in "
        f"the first {MOST_CHARS:,} characters of long texts."
    )
    if not pairs:
        lead = f"No test text is in the training data. {how}"
        return Section("duplicates", "Train and test overlap", lead, Markup())
    exact = sum(pair.exact for pair in pairs)
    lead = (
        f"{count(exact, 'test text')} {'is' if exact == 1 else 'are'} in the training data as "
        f"well, and {len(pairs) - exact:,} more nearly so. {how}"
    )
    # Nearly the same first: that the same texts are the same, nobody needs to read; other labels
    # are a fault of the data in any case.
    order = sorted(
        pairs, key=lambda pair: (_agrees(tested, train, pair), pair.exact, pair.test_row)
    )
    rows = [_row(tested, train, pair) for pair in order[:MOST]]
    head = [tag("th", name, scope="col") for name in ("alike", "test text", "training text")]
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", rows), class_="texts")
    return Section(
        "duplicates", "Train and test overlap", lead,
        join([_without(tested, pairs), tag("div", table, class_="scroll")]),
    )  # fmt: skip


def _agrees(tested: Answered, train: Dataset, pair: Pair) -> bool:
    assert train.labels is not None
    return set(_labels(tested.truth[pair.test_row])) == set(_labels(train.labels[pair.train_row]))


def _labels(label: str | tuple[str, ...]) -> tuple[str, ...]:
    return (label,) if isinstance(label, str) else label


def _without(tested: Answered, pairs: list[Pair]) -> Markup:
    """The error on the test rows that are not in the training data."""
    fair = np.ones(len(tested.truth), dtype=np.bool_)
    fair[[pair.test_row for pair in pairs]] = False
    rows = int(fair.sum())
    if not rows:
        return tag("p", "No test row is left that the model has not seen.", class_="note warn")
    wrong = int((fair & ~right(tested.truth, tested.predicted)).sum())
    said = (
        f"Without them the error is {percent(wrong / rows)} on {count(rows, 'row')} (95 % interval "
        f"{interval(wilson_interval(wrong, rows))}); with them {percent(tested.evaluation.error)}."
    )
    return tag("p", said, class_="note")


def _row(tested: Answered, train: Dataset, pair: Pair) -> Markup:
    assert train.labels is not None
    alike = "same" if pair.exact else percent(pair.similarity, 0)
    style = "right" if _agrees(tested, train, pair) else "wrong"
    sides = [
        (tested.dataset, tested.truth[pair.test_row], pair.test_row),
        (train, train.labels[pair.train_row], pair.train_row),
    ]
    cells = [
        tag("td", tag("span", tag("b", name_of(label), dir="auto"), class_=f"chip {style}"),
            tag("span", f"row {rows.source_row(row):,}", class_="more"),
            shown_text(rows.texts[row]))
        for rows, label, row in sides
    ]  # fmt: skip
    return tag("tr", tag("th", alike, scope="row", class_="number"), cells)
