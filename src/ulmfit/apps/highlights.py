"""Explanations as HTML: a text with its words shaded, alone or as a page of its own."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from string import Template

from ulmfit.apps.explain import Explanation, Span

# Blue and orange, which colour-blind people tell apart; what speaks against is underlined besides.
HIGHLIGHT_CSS = """\
.highlights { --for: 37 99 235; --against: 234 88 12; white-space: pre-wrap;
  overflow-wrap: anywhere; line-height: 1.9; unicode-bidi: plaintext; }
.highlights mark { color: inherit; border-radius: .25em; padding: .12em 0;
  background: rgb(var(--for) / calc(var(--weight) * .55)); }
.highlights mark.against { background: rgb(var(--against) / calc(var(--weight) * .6));
  text-decoration: underline dotted rgb(var(--against) / var(--weight)) 2px;
  text-underline-offset: .25em; }
@media (prefers-color-scheme: dark) {
  .highlights { --for: 96 165 250; --against: 251 146 60; }
}
"""
# Fainter than this share of the strongest, a word is left as it is: it would be noise to the eye.
_FAINTEST = 0.02
_MOST_WORDS = 12  # in the table of a page

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$label: why</title>
<style>
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5b6472; --line: #dfe3ea; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ef; --soft: #9aa4b2; --line: #333b47; --paper: #14181f; }
}
body { margin: 0 auto; padding: 2.5rem 1.25rem; max-width: 46rem; color: var(--ink);
  background: var(--paper); font: 1.0625rem/1.6 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.75rem; overflow-wrap: anywhere; }
h2 { margin: 2.25rem 0 .5rem; font-size: 1rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); font-size: .9375rem; }
.text { margin: 1.5rem 0; padding: 1rem 1.25rem; border: 1px solid var(--line);
  border-radius: .6rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td { padding: .25rem .75rem .25rem 0; border-top: 1px solid var(--line); }
td:nth-child(2) { text-align: right; white-space: nowrap; width: 5rem; }
td:nth-child(3) { width: 40%; }
.bar { height: .7rem; border-radius: .2rem; width: calc(var(--weight) * 100%);
  background: rgb(37 99 235 / .75); }
.bar.against { background: rgb(234 88 12 / .8); }
$css</style>
<h1>$label</h1>
<p>$percent % probable</p>
<div class="text" dir="auto">$fragment</div>
<p class="soft"><span class="highlights"><mark style="--weight:.8">Blue</mark></span> speaks for
$label, <span class="highlights"><mark
class="against" style="--weight:.8">orange and dotted</mark></span> against it; the stronger, the
more.</p>
$table
<p class="soft">The log-odds of this answer are $score; with all words dropped they would be
$baseline. $method</p>
</html>
""")

_METHODS = {
    "integrated-gradients": "The words' shares (integrated gradients) add up to the difference.",
    "occlusion": "A word's share is how much lower the log-odds are without it (occlusion).",
}


def highlight_html(text: str, spans: Sequence[Span]) -> str:
    """The text with its spans shaded, as one element; its style is `HIGHLIGHT_CSS`.

    Args:
        text: the text; whatever it contains is shown, not interpreted.
        spans: disjoint and in order, as `Explanation` has them.
    """
    strongest = max((abs(span.attribution) for span in spans), default=0.0) or 1.0
    parts, done = [], 0
    for span in spans:
        parts.append(escape(text[done : span.start]))
        parts.append(_mark(text[span.start : span.end], span.attribution, strongest))
        done = span.end
    parts.append(escape(text[done:]))
    return f'<span class="highlights">{"".join(parts)}</span>'


def explanation_page(explanation: Explanation) -> str:
    """An explanation as an HTML document that needs nothing beside itself."""
    return _PAGE.substitute(
        label=escape(explanation.label),
        percent=f"{100 * explanation.probability:.1f}",
        css=HIGHLIGHT_CSS,
        fragment=highlight_html(explanation.text, explanation.spans)
        if explanation.text
        else '<span class="soft">(an empty text)</span>',
        table=_table(explanation),
        score=f"{explanation.score:+.2f}",
        baseline=f"{explanation.baseline_score:+.2f}",
        method=_method(explanation),
    )


def _method(explanation: Explanation) -> str:
    if explanation.coarse:
        return (
            "The words' shares (integrated gradients) are rough: they leave "
            f"{explanation.unexplained:+.2f} of the difference over."
        )
    return _METHODS[explanation.method]


def strongest_spans(spans: Sequence[Span], most: int) -> list[Span]:
    """The spans that count, the greatest attribution first, whatever its sign."""
    ranked = sorted(spans, key=lambda span: -abs(span.attribution))[:most]
    return [span for span in ranked if span.attribution]


def _mark(piece: str, attribution: float, strongest: float) -> str:
    weight = abs(attribution) / strongest
    if weight < _FAINTEST:
        return escape(piece)
    kind = ' class="against"' if attribution < 0 else ""
    style = f'style="--weight:{weight:.2f}"'
    return f'<mark{kind} {style} title="{attribution:+.2f}">{escape(piece)}</mark>'


def _table(explanation: Explanation) -> str:
    ranked = strongest_spans(explanation.spans, _MOST_WORDS)
    rows = []
    for span in ranked:
        weight = abs(span.attribution) / abs(ranked[0].attribution)
        kind = "bar against" if span.attribution < 0 else "bar"
        word = escape(explanation.text[span.start : span.end])
        rows.append(
            f'<tr><td dir="auto">{word}</td><td>{span.attribution:+.2f}</td>'
            f'<td><div class="{kind}" style="--weight:{weight:.2f}"></div></td></tr>'
        )
    return f"<h2>Strongest words</h2>\n<table>{''.join(rows)}</table>" if rows else ""
