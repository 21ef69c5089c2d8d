from __future__ import annotations

import re
from dataclasses import replace

from ulmfit.apps.explain import Explanation
from ulmfit.apps.text_spans import Span
from ulmfit.cli.explanations import explanation_text

FOUND = Explanation(
    "a great and dull film",
    "glad",
    0.75,
    1.1,
    0.1,
    (Span(0, 1, 0.001), Span(2, 7, 2.0), Span(12, 16, -1.0), Span(17, 21, 0.0)),
    "integrated-gradients",
)


def test_without_colour_it_can_be_read() -> None:
    assert explanation_text(FOUND, colour=False).splitlines() == [
        "glad  75.0 %   (in brackets: + speaks for it, - against it)",
        "",
        "a [+great] and [-dull] film",
        "",
        "adds                             strongest words",
        "+2.00  ++++++++++++++++++++++++  great",
        "-1.00  ------------              dull",
        "+0.00  +                         a",
        "",
        "log-odds +1.10; with all words dropped +0.10 (integrated-gradients)",
    ]


def test_with_colour_the_words_are_shaded() -> None:
    shown = explanation_text(FOUND, colour=True)
    coloured = re.findall(r"\x1b\[[\d;]+m(\w+)\x1b\[0m", shown)
    assert coloured == ["great", "dull"]
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert "\na great and dull film\n" in plain
    assert "[+" not in plain


def test_an_empty_text() -> None:
    empty = Explanation("", "glad", 0.5, 0.0, 0.0, (), "occlusion")
    assert explanation_text(empty, colour=False).splitlines()[-1].startswith("log-odds +0.00")


def test_what_a_rough_explanation_leaves_over_is_said() -> None:
    exact = replace(FOUND, baseline_score=0.1 + 0.001 - 1.0 + 1.0)
    assert "rough" not in explanation_text(exact, colour=False)
    rough = replace(FOUND, score=2.1)
    assert rough.coarse
    last = explanation_text(rough, colour=False).splitlines()[-1]
    assert last == "rough: +1.00 of the change is not divided among the words"
