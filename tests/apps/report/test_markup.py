from __future__ import annotations

from ulmfit.apps.report.markup import Markup, escape, excerpt, join, tag


def test_text_is_escaped_and_markup_is_not() -> None:
    inner = tag("b", "<script>alert('1')</script>")
    assert inner == "<b>&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;</b>"
    assert tag("p", inner, " & ", 3) == f"<p>{inner} &amp; 3</p>"


def test_attributes_are_escaped_and_named_as_in_html() -> None:
    shown = tag("td", class_='a"b', aria_label="<x>", hidden=True, title=None, dir=False)
    assert shown == '<td class="a&quot;b" aria-label="&lt;x&gt;" hidden></td>'
    assert tag("circle", cx=1.50001, r=4.0, stroke_width=2) == (
        '<circle cx="1.5" r="4" stroke-width="2"/>'
    )
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_parts_may_be_lists_and_none() -> None:
    assert tag("ul", [tag("li", name) for name in "ab"], None) == "<ul><li>a</li><li>b</li></ul>"
    assert join(["<", Markup("<br>"), [None, ["&"]]]) == "&lt;<br>&amp;"


def test_characters_that_html_forbids_are_replaced() -> None:
    assert escape("a\x00b\x1bc\ud800d\n\te") == "a\ufffdb\ufffdc\ufffdd\n\te"
    assert escape("safe\u202eexe.txt\u2066") == "safeexe.txt"  # nothing is turned around
    assert escape("\u202a") == ""


def test_an_excerpt_has_the_beginning_and_the_end() -> None:
    assert excerpt("short", 10) == "short"
    long = "b" + "x" * 1000 + "e"
    found = excerpt(long, 100)
    assert found.startswith("bx") and found.endswith("xe") and " […] " in found
    assert len(found) <= 105


def test_excerpts_end_and_begin_with_whole_words() -> None:
    text = ("several words " * 20).strip()
    assert excerpt(text, 50) == "several words several words several […] words"
    assert excerpt("x" * 200, 40) == "x" * 30 + " […] " + "x" * 10
