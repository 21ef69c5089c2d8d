"""The text rules, written as parts of the Rust tokenizer so that one JSON file carries them all.

Every rule is a `Replace` normalizer or a `Split` pre-tokenizer: any binding of the `tokenizers`
library that loads the file gives the same ids, without a line of this package. White space becomes
`▁` first of all, as in SentencePiece; from there on a plain space only separates tokens. So three
classes of rules can be told apart: those that look across white space (`<br />`, `5 @.@ 1`,
repeated words), all others, which see one chunk of non-space characters at a time, and the marks,
which stand between spaces of their own. `memo.py` builds on it: the ids of a chunk never change.

The rules follow the paper (section 4.1: special tokens for upper case, elongation and repetition)
and fastai 2.8. They differ on purpose where fastai's lose something:

* case marks stand before words, not before white-space chunks: `(Hello` is marked too;
* digits are never an elongation: fastai turns `1000` into `1 xxrep 3 0`;
* counts stop at 9, which stands for nine or more: always one token, in every vocabulary;
* three or more dots are one ellipsis; `III` and `www.` stay what they are;
* a text cannot forge most marks: `xxpad` in it becomes `xx pad`. `xxfld` and `xxunk` (`<unk>`) stay
  what they are, for joined columns and WikiText.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from tokenizers import Regex, normalizers, pre_tokenizers

Kind = Literal["word", "bpe", "unigram"]

RULES_VERSION: Final = 1
"""Goes up with every change that gives some text other tokens."""

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
MAX_COUNT: Final = 9  # a single digit, so that a count is one token of a subword vocabulary too
COUNTS: Final = tuple(str(n) for n in range(3, MAX_COUNT + 1))
SPACE: Final = "▁"

# Control characters that Python counts as white space and Rust does not. As white space they are
# gone after the first rule, which leaves them free as private marks from one rule to the next.
_PYTHON_ONLY_SPACE = r"[\x1c-\x1f]"
_WORD_REP, _CHAR_REP, _LAST = "\x1c", "\x1d", "\x1e"

_BR = r"<br[\s\x1c-\x1f]*+/?>"
_SPACED_PUNCTUATION = (".", ",", "-")  # WikiText writes 5.1 as `5 @.@ 1`

# Character, its code points (133 to 151 are Windows-1252, as browsers read them), the names that
# are also decoded without their ampersand, which AG News has lost, and the names that are not.
# What is escaped twice (`&amp;lt;`) is decoded twice.
_ENTITIES = (
    ("&", (0x26,), "amp", ""),
    ("'", (0x27,), "", "apos"),
    ('"', (0x22,), "quot", ""),
    (SPACE, (0xA0,), "nbsp", ""),
    ("<", (0x3C,), "lt", ""),
    (">", (0x3E,), "gt", ""),
    ("$", (0x24,), "", ""),
    ("‘", (145, 0x2018), "", "lsquo"),
    ("’", (146, 0x2019), "", "rsquo"),
    ("“", (147, 0x201C), "", "ldquo"),
    ("”", (148, 0x201D), "", "rdquo"),
    ("–", (150, 0x2013), "", "ndash"),
    ("—", (151, 0x2014), "", "mdash"),
    ("…", (133, 0x2026), "", "hellip"),
    ("é", (0xE9,), "", "eacute"),
)

_INVISIBLE = r"[\x{AD}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2060}\x{2066}-\x{2069}\x{FEFF}]"
_FORGED = (
    rf"(?!(?<={SPACE})xx(?:unk|fld)(?:{SPACE}|\z))"
    r"(?i:xx)(?=(?i:unk|pad|bos|eos|fld|rep|wrep|up|maj))"
)

_W = r"\p{L}\p{M}\p{N}"
_BASE_CHAR = rf"[^\p{{M}}\p{{N}} \x1c-\x1e{SPACE}]"
_UNIT = rf"{_BASE_CHAR}(?>\p{{M}}{{0,4}})"  # a character with its accents or variation selector

_NO_ROW = (
    rf"(?<!I)III(?![{_W}])|(?<![wW])(?i:www)\."  # Henry VIII and www.example.org say nothing loudly
)

# All capitals, two or more: NASA, U.S., DON'T, R2D2. Capitalised: Hello, O'Neil, McDonald.
_UP = rf"\p{{Lu}}\p{{M}}*+(?:['.]?[\p{{Lu}}\p{{N}}]\p{{M}}*+(?!\p{{Ll}}))++(?![{_W}])"
_UP_HERE = rf"(?={SPACE}{_UP})|(?<![{_W}{SPACE}])(?<!\p{{Lu}}['.])(?={_UP})"
_MAJ = rf"[\p{{Lu}}\p{{Lt}}]\p{{M}}*+(?:[{_W}]|'\p{{Lu}})"
_MAJ_HERE = rf"(?={SPACE}{_MAJ})(?!{SPACE}{_UP})|(?<![{_W}{SPACE}])(?<![{_W}]')(?={_MAJ})(?!{_UP})"

_ONE_CHAR = r"[\p{Han}\p{Hiragana}]"  # scripts without spaces: each character is a word
_LETTER = rf"[{_W}&&[^\p{{Han}}\p{{Hiragana}}]]"
_END = rf"(?!{_LETTER})"
_SUFFIX = rf"(?:s|re|ve|ll|d|m){_END}"
_EMOJI = r"\p{Extended_Pictographic}[\x{FE0F}\x{1F3FB}-\x{1F3FF}]*+"
_WORD = "|".join(
    (
        r"[:;=][-']?(?:[()\[\]|]|[dpo](?!\w))|[:;]-[/\\]|<3(?!\w)|\^[_.]?\^",  # smileys
        r"\d++(?:[.,:]\d++)*+(?!\w)|\d++(?:[.,:]\d++)++",  # 3.5 1,000 10:30
        rf"(?<!{_LETTER})(?:\p{{L}}\.){{2,}}+(?:\p{{L}}{_END})?",  # u.s. e.g.
        rf"n't{_END}",  # as spaCy does: do n't, it 's
        rf"(?:\A|(?<={_LETTER}))'{_SUFFIX}",
        # A word; the apostrophe of an elision (l'homme, o'clock) stays with its left part.
        rf"(?:(?!n't{_END}){_LETTER}|(?<={_LETTER})[\x{{200C}}\x{{200D}}](?={_LETTER}))++"
        rf"(?:'(?!{_SUFFIX})(?={_LETTER}))?",
        rf"{_ONE_CHAR}\p{{M}}*+",
        rf"{_EMOJI}(?:\x{{200D}}{_EMOJI})*+|[\x{{1F1E6}}-\x{{1F1FF}}]{{2}}",  # families, flags
        r"--|\.\.",
        r"\S\p{M}*+",
    )
)
# Subwords never cross from letters to digits to the rest; 100 keeps a line without spaces linear.
_SUBWORD_SPAN = "|".join(
    (
        rf"{SPACE}?[\p{{L}}\p{{M}}](?>(?:[\p{{L}}\p{{M}}\x{{200C}}\x{{200D}}]|'(?=\p{{L}})){{0,99}})",
        rf"{SPACE}?(?>\p{{N}}{{1,100}})",
        rf"{SPACE}?(?>[^\p{{L}}\p{{N}}\s{SPACE}]{{1,100}})",
        SPACE,
    )
)

_br = re.compile(_BR, re.IGNORECASE)

# Letters that NFC leaves alone, digits and common punctuation; nothing three times in a row, and
# none of the special tokens. No rule but those of case can change such a chunk.
_PLAIN_CHAR = (
    r"[A-Za-z0-9'\"().,:!?\-"
    r"\u00c0-\u024f\u0400-\u04ff\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3]"
)
_plain = re.compile(rf"(?:({_PLAIN_CHAR})(?!\1\1)(?!(?<=[xX])[xX]))++")


def document_rules(text: str) -> str:
    """Applies the rules that look across white space, as the Rust normalizer does.

    Repeated words are left to the caller, who sees them more cheaply after the split.
    """
    if "<" in text:
        text = _br.sub(" ", text)
    if "@" in text:
        for mark in _SPACED_PUNCTUATION:
            text = text.replace(f" @{mark}@ ", mark)
    return text.replace(SPACE, "_")


def is_plain(chunk: str) -> bool:
    """Whether `build_plain_normalizer` does all that there is to do in a white-space chunk."""
    return _plain.fullmatch(chunk) is not None


def build_normalizer() -> normalizers.Normalizer:
    """All rules up to the split into words, in order."""
    return normalizers.Sequence([*_across_space(), *_inside_chunks(), *_marks()])


def build_plain_normalizer() -> normalizers.Normalizer:
    """What is left of `build_normalizer` for a chunk that `is_plain`: a tenth of the steps."""
    return normalizers.Sequence(
        [normalizers.Prepend(SPACE), normalizers.Prepend(" "), *_case_marks()]
    )


def build_splitter(kind: Kind) -> pre_tokenizers.PreTokenizer:
    """Where tokens end: words for `word`, the spans that a subword stays inside for the others."""
    space: pre_tokenizers.PreTokenizer
    if kind == "word":
        space = pre_tokenizers.Split(Regex(rf"[ {SPACE}]++"), "removed")
    else:
        space = pre_tokenizers.WhitespaceSplit()
    inside = Regex(_WORD if kind == "word" else _SUBWORD_SPAN)
    return pre_tokenizers.Sequence([space, pre_tokenizers.Split(inside, "isolated")])


def _across_space() -> list[normalizers.Normalizer]:
    return [
        _sub(f"(?i){_BR}", " "),
        *(_put(f" @{mark}@ ", mark) for mark in _SPACED_PUNCTUATION),
        normalizers.Prepend(" "),
        _sub(_PYTHON_ONLY_SPACE, " "),
        _put(SPACE, "_"),
        _sub(r"\s++", SPACE),
        # Inserting before the first character breaks tokenizers 0.23: index out of bounds.
        normalizers.Prepend(" "),
        # Before each word that has two more of its kind after it.
        _sub(
            rf"(?<={SPACE})(?!xx(?:unk|fld){SPACE})(?=((?>\w+)){SPACE}\1{SPACE}\1(?!\w))", _WORD_REP
        ),
    ]


def _inside_chunks() -> list[normalizers.Normalizer]:
    return [
        normalizers.NFC(),
        *(_sub(_entity(codes, bare, full), plain) for plain, codes, bare, full in _ENTITIES),
        _put("\\n", SPACE),
        _put('\\"', '"'),
        _sub(_INVISIBLE, ""),
        _put("\u200b", " "),  # where Thai and Khmer may break a line: a word ends here
        _sub(r"[’ʼ](?=\p{L})(?<=\p{L}.)", "'"),
        _sub(rf"{SPACE}(?={SPACE}|\z)", ""),
        _sub(_FORGED, "xx "),
        _sub(rf"{SPACE}xxfld(?=[ {SPACE}]|\z)", " xxfld"),
        _sub(rf"{SPACE}xxunk(?=[ {SPACE}]|\z)", " xxunk"),
        _sub(rf"{SPACE}<unk>(?=[ {SPACE}]|\z)", " xxunk"),
    ]


def _marks() -> list[normalizers.Normalizer]:
    # Counts go from the highest down, so that `n - 2` marks are never part of a longer row.
    counts = range(MAX_COUNT, 2, -1)
    words = (rf"(?:{SPACE}{_WORD_REP}[^{SPACE}]++){{{_row(n)}}}{SPACE}[^{SPACE}]++" for n in counts)
    chars = (rf"(?:{_CHAR_REP}{_UNIT}){{{_row(n)}}}{_UNIT}" for n in counts)
    return [
        *(_sub(row, f" xxwrep {n} ") for n, row in zip(counts, words, strict=True)),
        _sub(r"\.{3,}", "…"),
        _sub(rf"(?!{_NO_ROW})(?=({_UNIT})\1\1)", _CHAR_REP),
        *(_sub(row, f" xxrep {n} {_LAST}") for n, row in zip(counts, chars, strict=True)),
        # The space before a row goes to the character that is left of it.
        _sub(rf"(?<={SPACE} xxrep \d ){_LAST}", f"{SPACE}{_LAST}"),
        _sub(rf"{SPACE}(?= xxrep \d {SPACE})", ""),
        _sub(rf"{_LAST}{_UNIT}\K", " "),
        _put(_LAST, ""),
        *_case_marks(),
    ]


def _case_marks() -> list[normalizers.Normalizer]:
    return [
        _sub(_UP_HERE, " xxup "),
        _sub(_MAJ_HERE, " xxmaj "),
        normalizers.Lowercase(),
    ]


def _entity(codes: tuple[int, ...], bare: str, full: str) -> str:
    decimal = "|".join(map(str, codes))
    hexadecimal = "|".join(f"{code:x}" for code in codes)
    number = rf"&?#(?:0*(?:{decimal})|[xX]0*(?i:{hexadecimal}));"
    return number + (rf"|&?\b{bare};" if bare else "") + (f"|&{full};" if full else "")


def _row(n: int) -> str:
    return f"{n - 2}," if n == MAX_COUNT else f"{n - 2}"


def _sub(pattern: str, content: str) -> normalizers.Normalizer:
    return normalizers.Replace(Regex(pattern), content)


def _put(plain: str, content: str) -> normalizers.Normalizer:
    return normalizers.Replace(plain, content)
