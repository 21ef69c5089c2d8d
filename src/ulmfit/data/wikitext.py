"""WikiText's tokens back to natural text, so that models of natural text can be scored on it.

WikiText (Merity et al. 2016) is tokenised: ` @-@ ` for a hyphen inside a word, ` @,@ ` and ` @.@ `
inside a number, spaces around punctuation, `= Title =` around headings, `<unk>` for rare words. A
model of natural text that is scored on that pays for spaces which no text has. Here the marks are
joined, headings lose their equals signs, and punctuation stands where English has it. `<unk>`
stays: the word is lost. No word is left out, and none is added.
"""

from __future__ import annotations

import re

from ulmfit.data.detokenize import detokenize
from ulmfit.data.rules import document_rules

_HEADING = re.compile(r"(?:= )+(.*?)(?: =)+")
_NOT = re.compile(r"(?<=n) 't(?!\w)")  # its tokenizer writes `did n't` as `didn 't`
_MARKS = re.compile(r" @[-,.]@ ")


def is_wikitext(text: str) -> bool:
    """Whether a text has the marks that WikiText puts inside words and numbers."""
    return _MARKS.search(text) is not None


def natural_text(text: str) -> str:
    """One document of WikiText as natural text, a paragraph a line, without blank lines."""
    lines = (_natural_line(line.strip()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _natural_line(line: str) -> str:
    if heading := _HEADING.fullmatch(line):
        line = heading[1]
    return detokenize(document_rules(_NOT.sub("'t", line)).split(), "word")
