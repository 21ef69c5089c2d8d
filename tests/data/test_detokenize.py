from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit.data.datasets import load_dataset
from ulmfit.data.detokenize import detokenize
from ulmfit.data.rules import SPECIALS
from ulmfit.data.tokenizer import Kind, Tokenizer


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("xxbos xxmaj hello , world !", "Hello, world!"),
        ("xxup nasa 's xxup i 'll", "NASA's I'LL"),
        ("xxup do n't say ( ever )", "DON'T say (ever)"),
        ("it 's xxmaj mary 's , they 'll go", "it's Mary's, they'll go"),
        ('he said " so what ? " twice', 'he said "so what?" twice'),
        ("well - known and / or snake _ case", "well-known and/or snake_case"),
        ("$ 5.00 is 50 % # tag", "$5.00 is 50% #tag"),
        ("l' homme et xxmaj o' neil", "l'homme et O'neil"),
        ("wow xxrep 4 ! ok", "wow!!!! ok"),
        ("xxwrep 3 xxmaj very bad", "Very Very Very bad"),
        ("xxfld 1 xxmaj title xxfld 2 body", "xxfld 1 Title xxfld 2 body"),
        ("a xxunk b xxmaj xxunk xxpad xxpad xxeos", "a xxunk b xxunk"),
        ("xxmaj", ""),
        ("xxrep xxwrep x xxrep", "x"),
    ],
)
def test_words_become_a_readable_text(tokens: str, text: str) -> None:
    assert detokenize(tokens.split(" "), "word") == text


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("xxbos xxmaj ▁hel lo , ▁( xxmaj world )", "Hello, (World)"),
        ("xxup ▁na sa 's ▁got ▁it", "NASA's got it"),
        ("▁g xxrep 4 o d xxrep 3 ▁! ▁ok", "gooood !!! ok"),
        ("xxwrep 3 xxmaj ▁very ▁bad", "Very Very Very bad"),
        ("xxfld ▁1 ▁a ▁b xxunk c", "xxfld 1 a b xxunkc"),
    ],
)
def test_subwords_bring_their_own_spaces(tokens: str, text: str) -> None:
    assert detokenize(tokens.split(" "), "bpe") == text


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_subwords_come_back_as_the_text_they_were(kind: Kind) -> None:
    texts = load_dataset("name:trec6").texts[:400]
    tokenizer = Tokenizer.train(texts, kind=kind, vocab_size=800, min_freq=1)
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)).lower() == text.lower()


@given(st.lists(st.sampled_from([*SPECIALS, "3", "9", "a", "▁b", "'", '"', "n't", ".", "é"])))
def test_no_order_of_tokens_is_an_error(tokens: list[str]) -> None:
    kinds: tuple[Kind, ...] = ("word", "bpe")
    for kind in kinds:
        text = detokenize(tokens, kind)
        assert not {"\ufdd0", "\ufdd1", "▁"} & set(text)
