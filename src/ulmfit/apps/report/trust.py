"""Whether probabilities can be relied on, and what leaving out the unsure answers would gain."""

from __future__ import annotations

from collections.abc import Sequence

from ulmfit.apps.report.charts import reliability_chart
from ulmfit.apps.report.figures import percent
from ulmfit.apps.report.markup import Markup, tag
from ulmfit.apps.report.subject import Answered, Section
from ulmfit.train.reliability import CoverageRow, Reliability, coverage_table, reliability

_BIAS = 0.01  # of confidence against accuracy: less is not worth a word


def trust(tested: Answered, labels: Sequence[str]) -> Section:
    """Reliability diagram, and error by coverage."""
    targets, several = tested.targets(labels), tested.evaluation.multi_label
    found = reliability(tested.probabilities, targets, multi_label=several)
    rows = coverage_table(tested.probabilities, targets, multi_label=several)
    told = "; ".join(
        f"{percent(each.confidence, 0)} sure, {percent(each.accuracy, 0)} right ({each.count:,})"
        for each in found.bins
        if each.accuracy is not None
    )
    diagram = tag(
        "figure",
        tag("figcaption", "Reliability: dots on the dashed line are answers that are right as "
            "often as the model says. Below it the model is too sure."),
        reliability_chart(found.bins, f"Reliability diagram: {told}"),
    )  # fmt: skip
    body = tag("div", diagram, _coverage(rows, several), class_="pair")
    return Section("confidence", "Confidence", _lead(found), body)


def _lead(found: Reliability) -> str:
    total = sum(each.count for each in found.bins)
    bias = sum(
        each.count * (each.confidence - (each.accuracy or 0.0)) for each in found.bins if each.count
    )
    bias /= total
    if abs(bias) < _BIAS:
        said = "On average the model is about as sure as it is right."
    else:
        kind = "sure" if bias > 0 else "unsure"
        said = f"The model is too {kind} of itself, by {percent(abs(bias))} on average."
    return (
        f"{said} Confidence and accuracy lie {percent(found.ece)} apart (expected calibration "
        f"error); the log loss is {found.nll:.3f} nats."
    )


def _span(ends: tuple[float, float]) -> str:
    """An interval where there is little room."""
    return f"{100 * ends[0]:.1f}–{100 * ends[1]:.1f}"


def _coverage(rows: Sequence[CoverageRow], several: bool) -> Markup:
    head = [
        tag("th", "sure by at least", scope="col"),
        *(
            tag("th", name, scope="col", class_="number")
            for name in ("answered", "wrong", "error", "95\u00a0%")
        ),
    ]
    body = []
    for row in rows:
        shown = "–" if row.error is None else percent(row.error)
        ends = "–" if row.error_interval is None else _span(row.error_interval)
        cells = (percent(row.coverage), f"{row.wrong:,}", shown, ends)
        name = "any" if row.min_confidence == 0 else percent(row.min_confidence, 0)
        body.append(
            tag(
                "tr",
                tag("th", name, scope="row"),
                [tag("td", cell, class_="number") for cell in cells],
            )
        )
    kind = "all its labels are right" if several else "its answer is right"
    caption = (
        "What is left when unsure answers go to a person instead. Sureness is the model's own "
        f"probability that {kind}; the last column is the 95\u00a0% interval of the error."
    )
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", body))
    return tag("figure", tag("figcaption", caption), tag("div", table, class_="scroll"))
