from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from ulmfit.apps.report.charts import ErrorBar, Line, error_chart, line_chart, reliability_chart
from ulmfit.train.reliability import ReliabilityBin

Read = Callable[[str], Any]


def test_errors_lie_in_their_order_on_one_scale(read: Read) -> None:
    bars = [
        ErrorBar("this", 0.05, (0.03, 0.08), "model"),
        ErrorBar("<other>", 0.10, (0.08, 0.13), "rival"),
    ]
    page = read(error_chart(bars))
    left, right = (float(value) for value in page.values("cx"))
    assert left < right
    assert "<other>" in page.text and "5.0 %" in page.text and "10.0 %" in page.text
    (told,) = page.values("aria-label")
    assert told.endswith("this 5.0 % (3.0 to 8.0 %); <other> 10.0 % (8.0 to 13.0 %)")
    starts, ends = page.values("x1"), page.values("x2")
    assert all(float(x) <= 720 for x in (*starts, *ends))


def test_an_error_of_nothing_can_be_drawn(read: Read) -> None:
    page = read(error_chart([ErrorBar("this", 0.0, (0.0, 0.0), "model")]))
    assert page.values("cx") == ["8"]


def test_lines_are_named_at_their_ends_without_overlap(read: Read) -> None:
    lines = [Line(name, [(0, 1.0), (10, 0.5)], "model") for name in ("one", "two", "three")]
    page = read(line_chart(lines, told="three lines", x_name="steps", y_name="loss", marked=5.0))
    assert page.values("aria-label") == ["three lines"]
    assert page.tags.count("polyline") == 3
    ends = [
        float(dict(attrs)["y"]) for attrs in _texts(page) if "label" in dict(attrs).get("class", "")
    ]
    assert all(b - a >= 14 for a, b in itertools.pairwise(ends))


def _texts(page: Any) -> list[list[tuple[str, str]]]:
    """Attributes of each text element."""
    found: list[list[tuple[str, str]]] = []
    for element, name, value in page.attributes:
        if element == "text":
            if name == "x":
                found.append([])
            found[-1].append((name, value))
    return found


def test_a_single_point_is_a_dot(read: Read) -> None:
    page = read(line_chart([Line("a", [(3, 0.4)], "model")], told="", x_name="", y_name=""))
    assert "circle" in page.tags and "polyline" not in page.tags


def test_reliability_of_full_bins_only(read: Read) -> None:
    bins = [
        ReliabilityBin(0.0, 0.5, 0, 0.25, None),
        ReliabilityBin(0.5, 0.75, 10, 0.6, 0.5),
        ReliabilityBin(0.75, 1.0, 30, 0.9, 1.0),
    ]
    page = read(reliability_chart(bins, "told"))
    assert page.tags.count("circle") == 2
    assert "30 answers: 90.0 % sure, 100.0 % right" in page.text
    few, many = (float(value) for value in page.values("height"))
    assert many == pytest.approx(3 * few, abs=0.1)
