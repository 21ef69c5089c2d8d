from __future__ import annotations

import re
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, normalizers

from ulmfit.data.rules import (
    build_normalizer,
    build_plain_normalizer,
    document_rules,
    is_plain,
)

ALL_RULES, PLAIN_RULES = build_normalizer(), build_plain_normalizer()
CHARACTERS = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]


def test_python_and_rust_agree_on_white_space() -> None:
    """The memo splits at Python's white space, the Rust rules at their own."""
    space = normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"[\x1c-\x1f]"), " "),
            normalizers.Replace(Regex(r"\s"), "\N{SNOWMAN}"),
        ]
    )
    replaced = space.normalize_str("".join(CHARACTERS))
    ours = {c for c, r in zip(CHARACTERS, replaced, strict=True) if r == "\N{SNOWMAN}"}
    assert ours - {"\N{SNOWMAN}"} == {c for c in CHARACTERS if c.isspace()}


def test_every_single_plain_character_takes_the_short_way_safely() -> None:
    plain = [character for character in CHARACTERS if is_plain(character)]
    assert len(plain) > 30_000
    for character in plain:
        for chunk in (character, f"a{character}", f"{character}b", f"A{character}{character}"):
            if is_plain(chunk):
                assert PLAIN_RULES.normalize_str(chunk) == ALL_RULES.normalize_str(chunk)


plain_chunks = st.text(
    st.sampled_from("aAbBxXnNtTiIwW'\".,:!?()-019éÉßİſΣ" + "дДらラ漢한"), min_size=1, max_size=12
).filter(is_plain)


@settings(max_examples=500, deadline=None)
@given(plain_chunks)
def test_plain_chunks_take_the_short_way_safely(chunk: str) -> None:
    assert PLAIN_RULES.normalize_str(chunk) == ALL_RULES.normalize_str(chunk)


@pytest.mark.parametrize(
    "chunk",
    ["", "!!!", "sooo", "xxpad", "aXx", "&amp;", "#39;", "a\\n", "e\u0301", "’", "<b>", "a b", "…"],
)
def test_chunks_that_need_all_rules_are_not_plain(chunk: str) -> None:
    assert not is_plain(chunk)


def test_rules_across_white_space_are_the_same_in_python() -> None:
    text = "a<br />b <BR\x1c/>c 5 @.@ 1 x @-@ y @ @ ▁"
    assert document_rules(text) == "a b  c 5.1 x-y @ @ _"
    assert ALL_RULES.normalize_str(document_rules(text)) == ALL_RULES.normalize_str(text)


def test_nothing_is_lost() -> None:
    """Every letter, number, sign and mark of punctuation comes through, composed and lower case."""
    kept = [
        character
        for character in CHARACTERS
        if unicodedata.category(character)[0] in "LNPS" and not is_plain(character)
    ]
    assert len(kept) > 80_000
    for start in range(0, len(kept), 1000):
        part = kept[start : start + 1000]
        normal = ALL_RULES.normalize_str(" ".join(part))
        for character in part:
            expected = "".join(c.lower() for c in unicodedata.normalize("NFC", character))
            expected = "_" if character == "▁" else expected
            assert expected in normal, f"U+{ord(character):04X}"


def test_the_count_of_a_row_is_exact_up_to_eight() -> None:
    for n in range(1, 13):
        found = re.findall(r"xxrep (\d)", ALL_RULES.normalize_str("a" + "!" * n + "b"))
        assert found == ([str(min(n, 9))] if n > 2 else [])
        found = re.findall(r"xxwrep (\d)", ALL_RULES.normalize_str("b " + "no " * n + "c"))
        assert found == ([str(min(n, 9))] if n > 2 else [])
