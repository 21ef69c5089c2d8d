"""Charts as SVG that takes its colours from the page: errors, lines, reliability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ulmfit.apps.report.figures import Axis, interval, percent, plain, round_up, ticks
from ulmfit.apps.report.markup import Markup, join, tag
from ulmfit.train.reliability import ReliabilityBin

_LABEL_GAP = 14.0  # pixels between direct labels, one below the other


@dataclass(frozen=True)
class ErrorBar:
    """A method with its error.

    Attributes:
        name: of the method.
        error: share of rows.
        interval: of the error.
        colour: class of the page's style: "model", "rival", "simple".
    """

    name: str
    error: float
    interval: tuple[float, float]
    colour: str


@dataclass(frozen=True)
class Line:
    """A line with its direct label.

    Attributes:
        name: label at its end.
        points: (x, y), by x.
        colour: class of the page's style.
        dashed: drawn with gaps.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False


def error_chart(bars: Sequence[ErrorBar]) -> Markup:
    """Errors with their intervals on one scale, a row each."""
    width, row, left, right = 460, 48, 8, 76
    height = len(bars) * row + 30
    axis = Axis(0, round_up(max(bar.interval[1] for bar in bars)), left, width - right)
    parts = [
        _vertical(axis, value, 0, height - 28, percent(value, 0)) for value in ticks(0, axis.high)
    ]
    for number, bar in enumerate(bars):
        y = number * row + 34
        low, high = (axis.at(end) for end in bar.interval)
        parts += [
            tag("text", bar.name, x=left, y=y - 15, class_="label"),
            tag("line", x1=low, x2=high, y1=y, y2=y, class_=f"interval {bar.colour}"),
            tag("circle", _title(f"{bar.name}: {percent(bar.error)}"),
                cx=axis.at(bar.error), cy=y, r=6, class_=f"dot {bar.colour}"),
            tag("text", tag("tspan", percent(bar.error), class_="strong"),
                x=high + 10, y=y + 4, class_="label"),
        ]  # fmt: skip
    told = "; ".join(f"{bar.name} {percent(bar.error)} ({interval(bar.interval)})" for bar in bars)
    return _svg(width, height, f"Errors with 95 % intervals: {told}", parts)


def line_chart(
    lines: Sequence[Line],
    *,
    told: str,
    x_name: str,
    y_name: str,
    shares: bool = False,
    x_shares: bool = False,
    marked: float | None = None,
    from_zero: bool = False,
    size: tuple[int, int] = (340, 220),
) -> Markup:
    """Lines over one axis, each named at its end.

    Args:
        lines: at least one with a point.
        told: the chart in words, for who cannot see it.
        x_name: what the horizontal axis shows.
        y_name: what the vertical axis shows.
        shares: y in percent.
        x_shares: x in percent.
        marked: x of a vertical mark.
        from_zero: y begins at 0.
        size: width and height, pixels.
    """
    width, height = size
    named = any(line.name for line in lines)
    points = [point for line in lines for point in line.points]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    y_low, y_high = _range(ys, from_zero=from_zero)
    x_axis = Axis(min(xs), max(xs), 46, width - (62 if named else 14))
    y_axis = Axis(y_low, y_high, height - 34, 24)
    parts = [tag("text", y_name, x=4, y=12, class_="axis")]
    for value in ticks(y_low, y_high, 4):
        parts.append(_horizontal(y_axis, value, x_axis, _number(value, shares)))
    for value in ticks(x_axis.low, x_axis.high, 4):
        x = x_axis.at(value)
        parts.append(
            tag("text", _number(value, x_shares), x=x, y=height - 18, class_="tick middle")
        )
    middle = (x_axis.start + x_axis.end) / 2
    parts.append(tag("text", x_name, x=middle, y=height - 3, class_="axis middle"))
    if marked is not None:
        x = x_axis.at(marked)
        parts.append(tag("line", x1=x, x2=x, y1=24, y2=height - 34, class_="mark"))
    parts += [_drawn(line, x_axis, y_axis) for line in lines if line.points]
    parts += _names([line for line in lines if line.points and line.name], x_axis, y_axis)
    return _svg(width, height, told, parts)


def reliability_chart(bins: Sequence[ReliabilityBin], told: str) -> Markup:
    """Accuracy against confidence, with the number of answers below."""
    width, height, bottom = 380, 380, 290
    x_axis, y_axis = Axis(0, 1, 46, width - 14), Axis(0, 1, bottom, 24)
    parts = [tag("text", "share that is right", x=4, y=12, class_="axis")]
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_horizontal(y_axis, value, x_axis, percent(value, 0)))
        parts.append(
            tag("text", percent(value, 0), x=x_axis.at(value), y=height - 20, class_="tick middle")
        )
    parts.append(
        tag("line", x1=x_axis.at(0), y1=y_axis.at(0), x2=x_axis.at(1), y2=y_axis.at(1),
            class_="ideal")
    )  # fmt: skip
    full = [each for each in bins if each.accuracy is not None]
    # A line through bins of a few answers would show nothing but their chance.
    least = 0.01 * sum(each.count for each in full)
    corners = [(each.confidence, each.accuracy or 0.0) for each in full if each.count >= least]
    if len(corners) > 1:
        parts.append(_drawn(Line("", corners, "model"), x_axis, y_axis))
    parts += [_bin(each, x_axis, y_axis, max(b.count for b in full)) for each in full]
    parts.append(
        tag("text", "confidence (bars: how many answers)", x=(46 + width - 14) / 2, y=height - 4,
            class_="axis middle")
    )  # fmt: skip
    return _svg(width, height, told, parts)


def _bin(each: ReliabilityBin, x_axis: Axis, y_axis: Axis, most: int) -> Markup:
    accuracy = each.accuracy or 0.0
    told = f"{each.count:,} answers: {percent(each.confidence)} sure, {percent(accuracy)} right"
    left, right, tall = x_axis.at(each.low), x_axis.at(each.high), 44 * each.count / most
    base = y_axis.start + 54
    return join(
        [
            tag("rect", _title(told), x=left + 1, width=max(1.0, right - left - 2),
                y=base - max(1.0, tall), height=max(1.0, tall), class_="bar"),
            tag("circle", _title(told), cx=x_axis.at(each.confidence), cy=y_axis.at(accuracy),
                r=3 + 4 * (each.count / most) ** 0.5, class_="dot model"),
        ]
    )  # fmt: skip


def _range(values: Sequence[float], *, from_zero: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if from_zero:
        return 0.0, round_up(high)
    margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return max(0.0, low - margin) if low >= 0 else low - margin, high + margin


def _number(value: float, share: bool) -> str:
    return f"{plain(round(100 * value, 6))}\u00a0%" if share else plain(value)


def _drawn(line: Line, x_axis: Axis, y_axis: Axis) -> Markup:
    places = [(x_axis.at(x), y_axis.at(y)) for x, y in line.points]
    kind = f"line {line.colour}" + (" dashed" if line.dashed else "")
    if len(places) == 1:
        return tag("circle", cx=places[0][0], cy=places[0][1], r=4, class_=f"dot {line.colour}")
    return tag("polyline", points=" ".join(f"{x:g},{y:g}" for x, y in places), class_=kind)


def _names(lines: Sequence[Line], x_axis: Axis, y_axis: Axis) -> list[Markup]:
    """Direct labels right of the ends, moved apart where they would overlap."""
    ends = sorted(
        ((y_axis.at(line.points[-1][1]), line) for line in lines), key=lambda pair: pair[0]
    )
    parts: list[Markup] = []
    last = 0.0
    for y, line in ends:
        last = max(y, last + _LABEL_GAP) if parts else y
        parts.append(
            tag(
                "text", line.name, x=x_axis.end + 6, y=last + 4, class_=f"label small {line.colour}"
            )
        )
    return parts


def _vertical(axis: Axis, value: float, top: float, bottom: float, name: str) -> Markup:
    x = axis.at(value)
    return join(
        [
            tag("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"),
            tag("text", name, x=x, y=bottom + 18, class_="tick" + (" middle" if value else "")),
        ]
    )


def _horizontal(axis: Axis, value: float, across: Axis, name: str) -> Markup:
    y = axis.at(value)
    return join(
        [
            tag("line", x1=across.start, x2=across.end, y1=y, y2=y, class_="grid"),
            tag("text", name, x=across.start - 6, y=y + 4, class_="tick end"),
        ]
    )


def _title(text: str) -> Markup:
    return tag("title", text)


def _svg(width: int, height: int, told: str, parts: Sequence[Markup]) -> Markup:
    return tag(
        "svg", *parts, viewBox=f"0 0 {width} {height}", role="img", aria_label=told, class_="chart",
        style=f"max-width:{width}px",
    )  # fmt: skip
