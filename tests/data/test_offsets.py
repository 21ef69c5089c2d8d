from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.data.datasets import load_dataset
from ulmfit.data.offsets import spans_of_tokens
from ulmfit.data.tokenizer import Kind, Tokenizer

KINDS: tuple[Kind, ...] = ("word", "bpe", "unigram")
Pairs = list[tuple[str, str]]


@pytest.fixture(scope="module")
def tokenizers() -> dict[Kind, Tokenizer]:
    texts = load_dataset("name:trec6").texts[:1000]
    return {kind: Tokenizer.train(texts, kind=kind, vocab_size=600) for kind in KINDS}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tokenizers: dict[Kind, Tokenizer]) -> Tokenizer:
    kind: Kind = request.param
    return tokenizers[kind]


def marked(tokenizer: Tokenizer, text: str, *marks: str) -> Pairs:
    """What each of these marks (and the count behind it) stands for."""
    encoded = tokenizer.encode_with_offsets(text)
    return [
        (token, text[start:end])
        for token, (start, end) in zip(encoded.tokens, encoded.offsets, strict=True)
        if token in marks
    ]


def words(text: str) -> Pairs:
    """Spans of a word tokenizer that knows every word of the text."""
    tokenizer = Tokenizer.train([text], min_freq=1)
    encoded = tokenizer.encode_with_offsets(text)
    spans = [text[start:end] for start, end in encoded.offsets]
    return list(zip(encoded.tokens[1:], spans[1:], strict=True))


def test_words_stand_where_they_are_written() -> None:
    assert words("(Hello  World)\n don't") == [
        ("(", "("),
        ("xxmaj", "Hello"),
        ("hello", "Hello"),
        ("xxmaj", "World"),
        ("world", "World"),
        (")", ")"),
        ("do", "do"),
        ("n't", "n't"),
    ]


def test_what_a_rule_replaces_belongs_to_the_replacement() -> None:
    assert words("so... &amp;D<br />x 5 @.@ 1") == [
        ("so", "so"),
        ("…", "..."),
        ("&", "&amp;"),
        ("d", "D"),
        ("x", "x"),
        ("5.1", "1"),  # written with spaces: the last part stands for it
    ]


def test_case_marks_stand_for_their_whole_word(tokenizer: Tokenizer) -> None:
    text = "DON'T (Zxqvk) O'Neil<br />NASA Qz"
    assert marked(tokenizer, text, "xxup", "xxmaj") == [
        ("xxup", "DON'T"),
        ("xxmaj", "Zxqvk"),
        ("xxmaj", "O'Neil"),
        ("xxup", "NASA"),
        ("xxmaj", "Qz"),
    ]


def test_rows_stand_for_all_that_is_repeated(tokenizer: Tokenizer) -> None:
    text = "so gooood!!! No\tvery very\n very. Well Well Well"
    assert marked(tokenizer, text, "xxrep", "xxwrep", "3", "4") == [
        ("xxrep", "oooo"),
        ("4", "oooo"),
        ("xxrep", "!!!"),
        ("3", "!!!"),
        ("xxwrep", "very very\n very"),
        ("3", "very very\n very"),
        ("xxwrep", "Well Well Well"),
        ("3", "Well Well Well"),
    ]


def test_subwords_carry_no_white_space(tokenizer: Tokenizer) -> None:
    text = "  what is\u3000it \u00a0 ?<br />yes"
    offsets = tokenizer.encode_with_offsets(text).offsets
    assert "".join(text[start:end] for start, end in offsets) == "whatisit?yes"


def test_composed_characters_are_covered_whole(tokenizer: Tokenizer) -> None:
    text = "e\u0301 \u1112\u1161\u11ab e\u0301"
    offsets = tokenizer.encode_with_offsets(text).offsets
    spans = [text[start:end] for start, end in offsets if start < end]
    assert spans == ["e\u0301", "\u1112\u1161\u11ab", "e\u0301"]


PARTS = (
    *("a", "A", "very", "Don't", " ", "  ", "\n", "<br />", "&amp;", "!!!!", "...", "é", "e\u0301"),
    *("İ", "日本", "👍🏽", "xxpad", "U.S.", "1,000", "’", "very very very", "ᄀ", "\x00", "-"),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=15).map("".join))
def test_spans_are_in_the_text_and_cover_all_of_it(
    tokenizers: dict[Kind, Tokenizer], text: str
) -> None:
    for tokenizer in tokenizers.values():
        covered = bytearray(len(text))
        for start, end in tokenizer.encode_with_offsets(text).offsets:
            assert 0 <= start <= end <= len(text)
            covered[start:end] = b"\x01" * (end - start)
        for gap in re.finditer("<br />", text):
            covered[gap.start() : gap.end()] = b"\x01" * 6
        missed = [c for c, is_covered in zip(text, covered, strict=True) if not is_covered]
        assert not "".join(missed).strip()


def test_marks_without_anything_to_mark_do_no_harm() -> None:
    tokens = ["xxmaj", "xxrep", "3", "▁", "xxup"]
    spans = spans_of_tokens("ab", tokens, [(0, 0), (0, 1), (0, 1), (0, 1), (1, 2)])
    assert len(spans) == len(tokens)
    assert spans_of_tokens("", [], []) == []
