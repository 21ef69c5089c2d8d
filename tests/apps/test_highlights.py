from __future__ import annotations

from html.parser import HTMLParser

import pytest

from ulmfit.apps.explain import Explanation
from ulmfit.apps.highlights import explanation_page, highlight_html, strongest_spans
from ulmfit.apps.text_spans import Span

TEXT = "a <b>great</b> & dull film"
SPANS = (Span(0, 1, 0.01), Span(5, 10, 2.0), Span(17, 21, -1.0), Span(22, 26, 0.0))


class Words(HTMLParser):
    """What a browser would show, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.shown, self.links, self.tags = "", [], []  # type: ignore[var-annotated]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.shown += data


def explanation(text: str = TEXT, spans: tuple[Span, ...] = SPANS, label: str = "x") -> Explanation:
    return Explanation(text, label, 0.75, 1.1, 0.1, spans, "integrated-gradients")


def test_words_are_shaded_by_their_share() -> None:
    assert highlight_html(TEXT, SPANS) == (
        '<span class="highlights">a &lt;b&gt;'
        '<mark style="--weight:1.00" title="+2.00">great</mark>&lt;/b&gt; &amp; '
        '<mark class="against" style="--weight:0.50" title="-1.00">dull</mark> film</span>'
    )


@pytest.mark.parametrize("text", ["", "   ", "שלום", "a\n\nb", "😀"])
def test_the_text_stays_what_it_is(text: str) -> None:
    spans = (Span(0, len(text), 1.0),) if text.strip() else ()
    seen = Words()
    seen.feed(highlight_html(text, spans))
    assert seen.shown == text


def test_a_page_needs_nothing_beside_itself() -> None:
    page = explanation_page(explanation(label="<script>"))
    seen = Words()
    seen.feed(page)
    assert seen.links == []
    assert "script" not in seen.tags
    assert "url(" not in page
    assert "@import" not in page
    for part in ("75.0 % probable", "+1.10", "+0.10", "great", "-1.00"):
        assert part in page
    assert "(an empty text)" in explanation_page(explanation("", ()))


def test_the_strongest() -> None:
    assert strongest_spans(SPANS, 3) == [SPANS[1], SPANS[2], SPANS[0]]
    assert strongest_spans(SPANS[3:], 3) == []
