"""How each stage of training went."""

from __future__ import annotations

from collections.abc import Sequence

from ulmfit.apps.report.charts import Line, line_chart
from ulmfit.apps.report.curves import Curve, Points, read_curves
from ulmfit.apps.report.figures import percent
from ulmfit.apps.report.markup import Markup, tag
from ulmfit.apps.report.subject import Section

_MOST_POINTS = 200  # of a line: more cannot be seen


def learning(log: bytes) -> Section | None:
    """Loss and held-out error of every stage; None where the log has nothing to draw."""
    curves = [curve for curve in read_curves(log) if curve.train_loss]
    if not curves:
        return None
    figures = [figure for curve in curves for figure in _figures(curve)]
    lead = (
        "Loss on the rows being learnt and on rows held out. Where the held-out line turns up "
        "while the other goes on falling, the model learns by heart; the weights at the vertical "
        "mark were kept."
    )
    return Section("learning", "Learning curves", lead, tag("div", figures, class_="charts"))


def _figures(curve: Curve) -> list[Markup]:
    unit = "per token" if curve.stage.endswith("/lm") else "per text"
    lines = [Line("training", _thinned(curve.train_loss), "quiet", dashed=True)]
    if curve.valid_loss:
        lines.append(Line("held out", _thinned(curve.valid_loss), "model"))
    told = f"{curve.title}, loss: " + _ends(lines)
    found = [
        _figure(
            curve.title,
            line_chart(lines, told=told, x_name="steps", y_name=f"loss, nats {unit}",
                       marked=curve.best_step),
        )
    ]  # fmt: skip
    if curve.valid_error:
        line = Line("held out", _thinned(curve.valid_error), "model")
        last = percent(curve.valid_error[-1][1])
        found.append(
            _figure(
                f"{curve.title}: error",
                line_chart([line], told=f"{curve.title}, held-out error: at the end {last}",
                           x_name="steps", y_name="error", shares=True, marked=curve.best_step,
                           from_zero=True),
            )
        )  # fmt: skip
    return found


def _figure(title: str, chart: Markup) -> Markup:
    return tag("figure", tag("figcaption", title, class_="name"), chart)


def _ends(lines: Sequence[Line]) -> str:
    return "; ".join(
        f"{line.name} from {line.points[0][1]:.3f} to {line.points[-1][1]:.3f}" for line in lines
    )


def _thinned(points: Points) -> Points:
    step = max(1, len(points) // _MOST_POINTS)
    kept = points[::step]
    return kept if kept[-1] == points[-1] else (*kept, points[-1])
