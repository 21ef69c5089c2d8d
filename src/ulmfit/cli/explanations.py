"""An explanation in the terminal: with colour where there is some, and readable without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ulmfit.cli.printing import percent, shorten, table

if TYPE_CHECKING:
    from ulmfit.apps.explain import Explanation
    from ulmfit.apps.text_spans import Span

_MOST_WORDS, _BAR, _WORD = 12, 24, 40
# Backgrounds of xterm's 256 colours, the stronger the deeper: blue speaks for, orange against.
_FOR, _AGAINST = (153, 111, 69), (223, 215, 208)
_LEVELS = (0.1, 0.35, 0.7)  # shares of the strongest from which each is used
# Without colour, words of this share of the strongest are put in brackets.
_BRACKETS = 0.25


def explanation_text(explanation: Explanation, *, colour: bool) -> str:
    """Answer, text with its words marked, and the strongest words with bars."""
    answer = f"{explanation.label}  {percent(explanation.probability)}"
    legend = (
        "(blue speaks for it, orange against it)"
        if colour
        else "(in brackets: + speaks for it, - against it)"
    )
    parts = [f"{answer}   {legend}", _marked(explanation, colour=colour), _words(explanation)]
    change = (
        f"log-odds {explanation.score:+.2f}; with all words dropped "
        f"{explanation.baseline_score:+.2f} ({explanation.method})"
    )
    return "\n\n".join(part for part in [*parts, change + rough(explanation)] if part)


def rough(explanation: Explanation) -> str:
    """A line about how much a rough explanation leaves over; empty for others."""
    if not explanation.coarse:
        return ""
    return f"\nrough: {explanation.unexplained:+.2f} of the change is not divided among the words"


def _marked(explanation: Explanation, *, colour: bool) -> str:
    strongest = max((abs(span.attribution) for span in explanation.spans), default=0.0) or 1.0
    parts, done = [], 0
    for span in explanation.spans:
        piece = explanation.text[span.start : span.end]
        show = _coloured if colour else _bracketed
        parts += [
            explanation.text[done : span.start],
            show(piece, span.attribution / strongest),
        ]
        done = span.end
    return "".join([*parts, explanation.text[done:]]).strip()


def _coloured(piece: str, weight: float) -> str:
    level = sum(abs(weight) >= least for least in _LEVELS) - 1
    if level < 0:
        return piece
    return typer.style(piece, fg=16, bg=(_FOR if weight > 0 else _AGAINST)[level])


def _bracketed(piece: str, weight: float) -> str:
    if abs(weight) < _BRACKETS:
        return piece
    sign = "+" if weight > 0 else "-"
    return f"[{sign}{piece}]"


def _words(explanation: Explanation) -> str:
    from ulmfit.apps.highlights import strongest_spans

    ranked = strongest_spans(explanation.spans, _MOST_WORDS)
    if not ranked:
        return ""
    rows = [_row(explanation, span, abs(ranked[0].attribution)) for span in ranked]
    return table([("adds", "", "strongest words"), *rows], left=3)


def _row(explanation: Explanation, span: Span, strongest: float) -> tuple[str, str, str]:
    width = max(1, round(_BAR * abs(span.attribution) / strongest))
    bar = ("+" if span.attribution > 0 else "-") * width
    word = shorten(explanation.text[span.start : span.end], _WORD)
    return f"{span.attribution:+.2f}", bar, word
