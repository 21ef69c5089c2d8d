"""The text rules, written as parts of the Rust tokenizer so that one JSON file carries them all.

Every rule is a `Replace` normalizer or a `Split` pre-tokenizer: any binding of the `tokenizers`
library that loads the file gives the same ids, without a line of this package. Rules are of two
classes. Document rules look across white space (`<br />`, `5 @.@ 1`, repeated words); all others
see one run of non-space characters at a time. `memo.py` builds on that: it keeps the ids of each
run, so that the regular expressions below only ever see a run once.

Where the rules follow the paper (section 3.1: special tokens for upper case, elongation and
repetition) and fastai 2.8, and where they differ on purpose:
  * case marks stand before words, not before white-space runs: `(Hello` is marked too;
  * numbers are never elongations: fastai turns `1000` into `1 xxrep 3 0`;
  * counts stop at 9, which stands for "nine or more": always a single token;
  * three or more dots are one ellipsis.
"""

from __future__ import annotations

import re
from typing import Final

from tokenizers import Regex, normalizers, pre_tokenizers

RULES_VERSION: Final = 1
SPECIALS: Final = (
    "xxunk",
    "xxpad",
    "xxbos",
    "xxeos",
    "xxfld",
    "xxrep",
    "xxwrep",
    "xxup",
    "xxmaj",
)
UNK_ID: Final = 0
PAD_ID: Final = 1
BOS_ID: Final = 2
MAX_COUNT: Final = 9
COUNTS: Final = tuple(str(n) for n in range(3, MAX_COUNT + 1))

# Control characters that Python counts as white space and Rust does not. They become spaces
# first, which leaves them free as private marks between one rule and the next.
_PYTHON_ONLY_SPACE = r"[\x1c-\x1f]"
_WORD_REP, _CHAR_REP, _LAST = "\x1c", "\x1d", "\x1e"

_BR = r"<br\s*/?>"
_SPACED = ((" @.@ ", "."), (" @,@ ", ","), (" @-@ ", "-"))

_ENTITIES = (
    # Both the entity and what is left of it where the ampersand was lost (AG News).
    (r"&?#0*39;|&apos;", "'"),
    (r"&?\bquot;|&?#34;", '"'),
    (r"&?\bnbsp;|&?#160;", " "),
    (r"&?\blt;|&?#60;", "<"),
    (r"&?\bgt;|&?#62;", ">"),
    (r"&?#36;", "$"),
    (r"&?#0*(?:145|146|8216|8217);|&[lr]squo;", "'"),
    (r"&?#0*(?:147|148|8220|8221);|&[lr]dquo;", '"'),
    (r"&?#0*(?:150|8211);|&ndash;", "–"),
    (r"&?#0*(?:151|8212);|&mdash;", "—"),
    (r"&?#0*(?:133|8230);|&hellip;", "…"),
    (r"&eacute;|&?#233;", "é"),
    (r"&?\bamp;|&?#0*38;", "&"),
)

_W = r"\p{L}\p{M}\p{N}"
_UP = rf"\p{{Lu}}\p{{M}}*+(?:['.]?[\p{{Lu}}\p{{N}}]\p{{M}}*+(?!\p{{Ll}}))++(?!['.]?[{_W}])"
_UP_HERE = rf"(?<![{_W}])(?<!\p{{Lu}}['.])(?={_UP})"
_MAJ_HERE = (
    rf"(?<![{_W}])(?<![{_W}]')(?=[\p{{Lu}}\p{{Lt}}]\p{{M}}*+(?:[{_W}]|'\p{{Lu}}))(?!{_UP})"
)

_ONE_CHAR = r"[\p{Han}\p{Hiragana}]"  # scripts without spaces: one ideograph, one token
_LETTER = rf"[{_W}&&[^\p{{Han}}\p{{Hiragana}}]]"
_EMOJI = r"\p{Extended_Pictographic}[\x{FE0F}\x{1F3FB}-\x{1F3FF}]*+"
_SUFFIX = r"(?:s|re|ve|ll|d|m)"
_TOKEN = "|".join(
    (
        r"[:;=][-']?[()\[\]|*{}@](?![\w])|[:;=][-']?[dpo](?!\w)|[:;]-[/\\]|<3(?!\w)",  # smileys
        r"\^[_.]?\^",
        r"\d++(?:[.,:]\d++)*+(?!\w)|\d++(?:[.,:]\d++)++",  # 3.5 1,000 10:30
        rf"(?<!{_LETTER})(?:\p{{L}}\.){{2,}}+(?:\p{{L}}(?!{_LETTER}))?",  # u.s. e.g.
        rf"n't(?!{_LETTER})",
        rf"(?<={_LETTER})'{_SUFFIX}(?!{_LETTER})",
        # A word; the apostrophe of an elision (l'homme, o'clock) stays with its left part.
        rf"(?:(?!n't(?!{_LETTER})){_LETTER}|(?<={_LETTER})[\x{{200C}}\x{{200D}}](?={_LETTER}))++"
        rf"(?:'(?!{_SUFFIX}(?!{_LETTER}))(?={_LETTER}))?",
        rf"{_ONE_CHAR}\p{{M}}*+",
        rf"{_EMOJI}(?:\x{{200D}}{_EMOJI})*+|[\x{{1F1E6}}-\x{{1F1FF}}]{{2}}",
        r"--|\.\.",
        r"\S\p{M}*+",
    )
)

_br = re.compile(_BR, re.IGNORECASE)


def document_rules(text: str) -> str:
    """Applies the rules that look across white space, as the Rust normalizer does.

    Repeated words are left to the caller, who sees them more cheaply after the split.
    """
    if "<" in text:
        text = _br.sub(" ", text)
    if "@" in text:
        for spaced, plain in _SPACED:
            text = text.replace(spaced, plain)
    return text


def build_normalizer() -> normalizers.Normalizer:
    """All rules up to the word split, in order."""

    def sub(pattern: str, content: str) -> normalizers.Normalizer:
        return normalizers.Replace(Regex(pattern), content)

    word_run = rf"(?<!\S)(?=((?>\w+))\s+\1\s+\1(?!\w))"
    unit = r"[^\s\p{M}\x1c-\x1f]\p{M}{0,4}"
    steps = [
        # Inserting before the first character breaks tokenizers 0.23 (index out of bounds later on).
        normalizers.Prepend(" "),
        sub(_PYTHON_ONLY_SPACE, " "),
        sub(f"(?i){_BR}", " "),
        *(normalizers.Replace(spaced, plain) for spaced, plain in _SPACED),
        sub(word_run, _WORD_REP),
        *(
            sub(rf"(?:{_WORD_REP}\w+\s+){{{_times(n)}}}\w+\s+", f" xxwrep {n} ")
            for n in range(MAX_COUNT, 2, -1)
        ),
        normalizers.NFC(),
        *(sub(entity, plain) for entity, plain in _ENTITIES),
        normalizers.Replace("\\n", " "),
        normalizers.Replace('\\"', '"'),
        sub(r"[\x{AD}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2060}\x{2066}-\x{2069}\x{FEFF}]", ""),
        normalizers.Replace("\u200b", " "),
        sub(rf"(?<=\p{{L}})[’ʼ](?=\p{{L}})", "'"),
        sub(r"\b(?i:xx)(?=(?i:pad|bos|eos|rep|up|maj)\b)", "xx "),
        sub(r"\.{3,}+", " … "),
        sub(r"(?=([^\s\p{M}\p{N}]\p{M}{0,4}+)\1\1)", _CHAR_REP),
        *(
            sub(rf"(?:{_CHAR_REP}{unit}){{{_times(n)}}}{unit}", f" xxrep {n} {_LAST}")
            for n in range(MAX_COUNT, 2, -1)
        ),
        sub(rf"{_LAST}{unit}\K", " "),
        normalizers.Replace(_LAST, ""),
        sub(_UP_HERE, " xxup "),
        sub(_MAJ_HERE, " xxmaj "),
        normalizers.Lowercase(),
    ]
    return normalizers.Sequence(steps)


def _times(n: int) -> str:
    return f"{n - 2}," if n == MAX_COUNT else f"{n - 2}"


def build_splitter() -> pre_tokenizers.PreTokenizer:
    """White space, then words, numbers, contractions, smileys, emoji and single marks."""
    return pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(_TOKEN), "isolated")]
    )
