from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ulmfit.data.wikitext import is_wikitext, natural_text


@pytest.mark.parametrize(
    ("raw", "natural"),
    [
        (" = Robert <unk> = \n", "Robert <unk>"),
        (" = = = Early life = = = \n", "Early life"),
        ("a guest @-@ starring role", "a guest-starring role"),
        ("12 @,@ 500 or 3 @.@ 5 km", "12,500 or 3.5 km"),
        ('He said " yes " , didn \'t he ?', 'He said "yes", didn\'t he?'),
        ("Teddy 's Story ( 1933 USD ) ; 225 km / h .", "Teddy's Story (1933 USD); 225 km/h."),
        ("do n't", "don't"),
        ("<unk> , <unk> .", "<unk>, <unk>."),
        (" \n one \n \n two \n", "one\ntwo"),
        ("x = 2 holds", "x = 2 holds"),
    ],
)
def test_tokens_become_natural_text(raw: str, natural: str) -> None:
    assert natural_text(raw) == natural


def test_what_wikitext_looks_like() -> None:
    assert is_wikitext("12 @,@ 500")
    assert not is_wikitext("12,500 at x @ y and <unk>")


def test_no_character_of_a_word_is_lost_in_the_real_corpus(
    shared_data: Callable[[str], Path],
) -> None:
    import pyarrow.parquet as pq

    raw = pq.read_table(shared_data("wikitext2") / "valid.parquet")["text"].to_pylist()[:3]
    for text in raw:
        letters = [c for c in text if c.isalnum()]
        assert [c for c in natural_text(text) if c.isalnum()] == letters
