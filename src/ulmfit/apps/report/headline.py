"""The top of the report: how good the model is, in a sentence, in numbers and beside others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ulmfit.apps.report.charts import ErrorBar, error_chart
from ulmfit.apps.report.figures import count, interval, percent
from ulmfit.apps.report.markup import Markup, join, tag
from ulmfit.apps.report.mistakes import mcnemar, name_of, right
from ulmfit.apps.report.subject import Answered, Rival, Section, Subject
from ulmfit.train.metrics import Labels, evaluate_labels, indicators
from ulmfit.train.reliability import reliability

_SIGNIFICANT = 0.05


def headline(subject: Subject) -> Section:
    """Verdict, key numbers, and the error beside that of simpler methods."""
    tested = subject.tested
    if tested is None:
        lead = "There were no rows to test on, so nothing is known of how good this model is."
        advice = tag("p", "Test it on labelled rows that it has not seen: ", tag("code", "--test"))
        return Section("result", "Result", lead, advice)
    scores = [
        ErrorBar("This model", tested.evaluation.error, tested.evaluation.error_interval, "model")
    ]
    for others, colour in ((subject.members, "simple"), (subject.rivals, "rival")):
        for other in others:
            score = other.evaluation
            scores.append(ErrorBar(other.name, score.error, score.error_interval, colour))
    figure = tag(
        "figure",
        tag("figcaption", f"Test error on the same {count(tested.evaluation.rows, 'row')}; the "
            "lines are 95 % intervals (Wilson). Left is better."),
        error_chart(scores),
    )  # fmt: skip
    compared = [_comparison(tested, rival) for rival in subject.rivals]
    compared += [
        tag("p", f"{rival.name} is wrong on {percent(rival.evaluation.error)}.", class_="note")
        for rival in _simplest(subject, tested)
    ]
    return Section(
        "result", "Result", _verdict(tested), join([_tiles(subject, tested), figure, *compared])
    )


def _verdict(tested: Answered) -> Markup:
    score = tested.evaluation
    what = "a wrong or missing label" if score.multi_label else "the wrong label"
    if 0 < score.error <= 0.25:  # of more, one in two or three would be far off
        start = f"About one text in {1 / score.error:.0f} gets {what}"
    elif score.wrong:
        start = f"{percent(score.error, 0)} of the texts get {what}"
    else:
        start = f"No text gets {what}"
    said = f"{start}: {score.wrong:,} of {count(score.rows, 'row')} in this test."
    return join(
        [
            said,
            f" On new texts like these, expect an error of {interval(score.error_interval)}.",
        ]
    )


def _tiles(subject: Subject, tested: Answered) -> Markup:
    score = tested.evaluation
    targets = tested.targets(subject.labels)
    found = reliability(tested.probabilities, targets, multi_label=score.multi_label)
    occur = int((targets | indicators(tested.predicted, subject.labels)).any(axis=0).sum())
    known = count(len(score.classes), "class", "classes")
    classes = known if occur == len(score.classes) else f"{occur:,} of {known}"
    numbers = [
        ("Error", percent(score.error), interval(score.error_interval)),
        ("Accuracy", percent(score.accuracy), f"{score.rows - score.wrong:,} of {score.rows:,}"),
        ("Macro F1", f"{score.macro_f1:.3f}", f"mean of {classes}"),
        ("Calibration error", percent(found.ece), "confidence against truth"),
    ]  # fmt: skip
    if score.multi_label:
        numbers[1] = ("Micro F1", f"{score.micro_f1:.3f}", "all decisions alike")
    return tag(
        "dl",
        [
            tag(
                "div",
                tag("dt", name),
                tag("dd", value),
                tag("dd", more, class_="more"),
                class_="tile",
            )
            for name, value, more in numbers
        ],
        class_="tiles",
    )


def _simplest(subject: Subject, tested: Answered) -> Iterator[Rival]:
    """Always the most frequent label of the training rows: what no model may fall below."""
    known = subject.train.labels if subject.train is not None else None
    if not known:
        return
    counts = Counter(known)
    ((most, _),) = counts.most_common(1)
    answers: Labels = [most] * len(tested.truth)  # type: ignore[assignment]
    score = evaluate_labels(tested.truth, answers, subject.labels, multi_label=subject.multi_label)
    yield Rival(f"Always the same answer, “{name_of(most)}”,", answers, score)


def _comparison(tested: Answered, rival: Rival) -> Markup:
    """Row by row: who is right where the other is wrong, and whether that can be chance."""
    mine = right(tested.truth, tested.predicted)
    theirs = right(tested.truth, rival.predicted)
    only_mine, only_theirs = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
    p = mcnemar(mine, theirs)
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    if p >= _SIGNIFICANT:
        judged = "This difference can well be chance: more test rows would tell."
    elif only_mine > only_theirs:
        judged = "Chance alone hardly explains that: this model is the better one."
    else:
        judged = f"Chance alone hardly explains that: {rival.name} is better here, and simpler."
    said = (
        f"Row by row, {count(only_mine, 'row')} "
        f"{'is' if only_mine == 1 else 'are'} right with this model only and {only_theirs:,} with "
        f"{rival.name} only ({shown}, McNemar's test). {judged}"
    )
    return tag("p", said, class_="note")
