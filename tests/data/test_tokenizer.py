from __future__ import annotations

import copy
import json
import pickle
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as RustTokenizer

from ulmfit.data.datasets import load_dataset
from ulmfit.data.rules import build_normalizer, build_splitter
from ulmfit.data.tokenizer import BOS_ID, PAD_ID, SPECIALS, UNK_ID, Kind, Tokenizer, join_fields
from ulmfit.errors import InputError, ModelFolderError, SettingsError

CASES = Path(__file__).parent.parent / "cases" / "tokenizer"
KINDS: tuple[Kind, ...] = ("word", "bpe", "unigram")

# Everything that a rule looks for, and what Unicode has to make trouble with.
FRAGMENTS = (
    *("a", "A", "very", "Very", "VERY", "xx", "xxpad", "xxfld", "xxunk", "<unk>", "XXMAJ", "ab c"),
    *(
        " ",
        "  ",
        "\n",
        "\t",
        "\xa0",
        "\x1c",
        "\x1f",
        "\x85",
        "\u3000",
        "\u2028",
        "\u200b",
        "▁",
        "_",
    ),
    *(
        "<br />",
        "<BR/>",
        "<br",
        "/>",
        " @-@ ",
        " @.@",
        "@,@ ",
        "&amp;",
        "&",
        "amp;",
        "&lt;",
        "#39;",
    ),
    *(
        "nbsp;",
        "&nbsp;",
        "\\n",
        '\\"',
        "!",
        "!!!",
        "....",
        "'",
        "’",
        "n't",
        "'S",
        "-",
        "--",
        "/",
        ":)",
    ),
    *("I", "III", "www.", "U.S.", "it's", "I'm", "l'é", "1", "000", "3.5", "1,000", ".", ","),
    *(
        "İ",
        "ß",
        "ﬃ",
        "ẞ",
        "Σ",
        "ς",
        "é",
        "e\u0301",
        "\u0301",
        "\u0301" * 6,
        "\u1e9b\u0323",
        "K",
        "Å",
    ),
    *(
        "❤️",
        "👨\u200d👩\u200d👧",
        "🇩🇪",
        "👍🏽",
        "\u200d",
        "\ufeff",
        "\xad",
        "\u202e",
        "\x00",
        "\x01",
    ),
    *("\ud800", "\udc00", "\ufdd0", "\uffff", "\U0010ffff", "\U000e0100", "Ⅳ", "ǅ"),
    *("日本", "ひらがな", "カタカナ", "한국어", "ㅋ", "ᄀ", "ᅡ", "ไทย", "עברית", "العربية"),
)
nasty_texts = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), max_size=20).map("".join),
    st.lists(st.sampled_from(FRAGMENTS), max_size=20).map(" ".join),
    st.lists(st.sampled_from(("very", "Very", "verysmall", "xxpad", "xx", "a")), max_size=30).map(
        " ".join
    ),
    st.text(max_size=30),
)


def unescape(line: str) -> str:
    return re.sub(r"\\u\{([0-9A-F]+)\}", lambda match: chr(int(match[1], 16)), line)


def read_cases() -> Iterator[tuple[str, str, list[str]]]:
    for path in sorted(CASES.glob("*.txt")):
        lines = path.read_text(encoding="utf-8").split("\n")
        for line, tokens in pairwise(lines):
            if line.startswith("> "):
                yield path.stem, unescape(line[2:]), unescape(tokens).split(" ")


@pytest.fixture(scope="module")
def questions() -> list[str]:
    return load_dataset("name:trec6").texts


@pytest.fixture(scope="module")
def tokenizers(questions: list[str]) -> dict[Kind, Tokenizer]:
    texts = [*questions, "".join(FRAGMENTS).encode("utf-8", "replace").decode(), "!!! a very b"]
    return {kind: Tokenizer.train(texts, kind=kind, vocab_size=2000) for kind in KINDS}


@pytest.fixture(scope="module")
def plain(tokenizers: dict[Kind, Tokenizer]) -> dict[Kind, RustTokenizer]:
    """The same files, loaded by the library alone."""
    return {kind: RustTokenizer.from_str(tokenizers[kind].to_json()) for kind in KINDS}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tokenizers: dict[Kind, Tokenizer]) -> Tokenizer:
    kind: Kind = request.param
    return tokenizers[kind]


@pytest.mark.parametrize(("name", "text", "tokens"), list(read_cases()))
def test_cases_from_files(name: str, text: str, tokens: list[str]) -> None:
    splitter = build_splitter("bpe" if name == "subword_spans" else "word")
    assert [
        word for word, _ in splitter.pre_tokenize_str(build_normalizer().normalize_str(text))
    ] == (tokens)
    if name != "subword_spans":
        words = Tokenizer.from_words(list(dict.fromkeys([*SPECIALS, *tokens])))
        assert [words.vocab[i] for i in words.encode(text)] == ["xxbos", *tokens]


@settings(max_examples=300, deadline=None)
@given(st.lists(nasty_texts, max_size=4))
def test_all_ways_to_encode_agree(tokenizers: dict[Kind, Tokenizer], texts: list[str]) -> None:
    for tokenizer in tokenizers.values():
        batch = tokenizer.encode_batch(texts)
        for text, ids in zip(texts, batch, strict=True):
            assert ids.dtype == np.int32
            np.testing.assert_array_equal(tokenizer.encode(text), ids)
            encoded = tokenizer.encode_with_offsets(text)
            np.testing.assert_array_equal(encoded.ids, ids)
            assert [tokenizer.vocab[i] for i in ids] == encoded.tokens


@settings(max_examples=200, deadline=None)
@given(nasty_texts)
def test_a_text_cannot_forge_the_marks_of_the_model(
    tokenizers: dict[Kind, Tokenizer], text: str
) -> None:
    for tokenizer in tokenizers.values():
        ids = tokenizer.encode(text)
        assert ids[0] == BOS_ID
        assert not set(ids[1:].tolist()) & {PAD_ID, BOS_ID, SPECIALS.index("xxeos")}


@settings(max_examples=200, deadline=None)
@given(nasty_texts)
def test_plain_json_gives_the_same_ids_without_this_package(
    tokenizers: dict[Kind, Tokenizer], plain: dict[Kind, RustTokenizer], text: str
) -> None:
    text = text.encode("utf-8", "replace").decode()
    for kind, tokenizer in tokenizers.items():
        assert plain[kind].encode(text).ids == tokenizer.encode(text).tolist()


def test_real_questions_alone_and_in_batches(
    tokenizer: Tokenizer, plain: dict[Kind, RustTokenizer], questions: list[str]
) -> None:
    texts = questions[:500]
    expected = [encoding.ids for encoding in plain[tokenizer.kind].encode_batch(texts)]
    assert [ids.tolist() for ids in tokenizer.encode_batch(texts)] == expected
    assert [tokenizer.encode(text).tolist() for text in texts] == expected
    backwards = tokenizer.encode_batch(texts[::-1])
    assert [ids.tolist() for ids in backwards[::-1]] == expected


def test_special_tokens_have_their_ids_in_every_vocabulary(tokenizer: Tokenizer) -> None:
    assert tuple(tokenizer.vocab[: len(SPECIALS)]) == SPECIALS
    assert (UNK_ID, PAD_ID, BOS_ID) == (0, 1, 2)
    assert tokenizer.vocab_size == len(tokenizer.vocab) <= 2000
    assert {"3", "4", "5", "6", "7", "8", "9"} <= set(tokenizer.vocab)


def test_marks_and_counts_are_single_tokens_for_subwords_too(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode_with_offsets("VERY!!!!!!!!!!!! very very very").tokens
    marks = [token for token in tokens if token in SPECIALS and token != "xxunk"]
    assert marks == ["xxbos", "xxup", "xxrep", "xxwrep"]
    assert tokens[tokens.index("xxrep") + 1] == "9"
    assert tokens[tokens.index("xxwrep") + 1] == "3"


@pytest.mark.parametrize("text", ["", " ", "\n\t \x1c\u3000", "<br />", "\ufeff"])
def test_empty_texts_are_only_a_start(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.encode(text).tolist() == [BOS_ID]
    assert tokenizer.encode_with_offsets(text).offsets == [(0, 0)]
    assert tokenizer.decode(tokenizer.encode(text)) == ""


def test_no_texts_give_no_ids(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode_batch([]) == []


@pytest.mark.parametrize("unit", ["a", " ", "!", "a ", "Ab", "a.", "ab ab ab cd cd cd "])
def test_a_million_characters_take_linear_time(
    tokenizers: dict[Kind, Tokenizer], unit: str
) -> None:
    text = unit * (1_000_000 // len(unit))
    start = time.perf_counter()
    ids = tokenizers["word"].encode(text)
    assert time.perf_counter() - start < 60  # anything quadratic would take hours
    assert ids[0] == BOS_ID


def test_long_subwords_take_linear_time(tokenizers: dict[Kind, Tokenizer]) -> None:
    for kind in ("bpe", "unigram"):
        start = time.perf_counter()
        tokenizers[kind].encode("ab" * 250_000)
        assert time.perf_counter() - start < 60


def test_a_saved_tokenizer_is_the_same_one(tokenizer: Tokenizer, questions: list[str]) -> None:
    loaded = Tokenizer.from_json(tokenizer.to_json())
    assert (loaded.kind, loaded.digest, loaded.vocab) == (
        tokenizer.kind,
        tokenizer.digest,
        tokenizer.vocab,
    )
    assert re.fullmatch("[0-9a-f]{64}", loaded.digest)
    for copied in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
        assert copied.digest == tokenizer.digest
        np.testing.assert_array_equal(copied.encode(questions[0]), tokenizer.encode(questions[0]))


@pytest.mark.parametrize("kind", KINDS)
def test_training_twice_gives_the_same_bytes(questions: list[str], kind: Kind) -> None:
    texts = questions[:1500]
    first = Tokenizer.train(texts, kind=kind, vocab_size=800)
    second = Tokenizer.train(iter(texts), kind=kind, vocab_size=800)
    assert first.to_json() == second.to_json()


def test_frequency_decides_what_is_in_the_vocabulary() -> None:
    texts = ["b b a c"] * 2 + ["d b"]
    assert Tokenizer.train(texts).vocab[16:] == ["b", "a", "c"]
    assert Tokenizer.train(texts, min_freq=1).vocab[16:] == ["b", "a", "c", "d"]
    assert Tokenizer.train(texts, vocab_size=17).vocab[16:] == ["b"]


def test_words_can_be_exchanged(tokenizers: dict[Kind, Tokenizer]) -> None:
    other = tokenizers["word"].with_vocab([*SPECIALS, "hello"])
    assert other.encode("Hello there").tolist() == [BOS_ID, SPECIALS.index("xxmaj"), 9, UNK_ID]
    with pytest.raises(SettingsError, match=r"of kind 'bpe' keeps its vocabulary.*Subwords spell"):
        tokenizers["bpe"].with_vocab([*SPECIALS, "hello"])


def test_vocabularies_that_cannot_be_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"vocabulary starts with \['hello'\].*xxunk"):
        Tokenizer.from_words(["hello"])
    with pytest.raises(
        SettingsError, match="the vocabulary has 'a' twice: expected each word once"
    ):
        Tokenizer.from_words([*SPECIALS, "a", "b", "a"])


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"kind = 'char'.*expected 'word', 'bpe' or 'unigram'"):
        Tokenizer.train(["a"], kind="char")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="vocab_size = 5: expected more than 16"):
        Tokenizer.train(["a"], vocab_size=5)
    with pytest.raises(SettingsError, match="vocab_size = 5: expected 64 or more"):
        Tokenizer.train(["a"], kind="bpe", vocab_size=5)
    with pytest.raises(SettingsError, match="min_freq = 0: expected 1 or more"):
        Tokenizer.train(["a"], min_freq=0)
    with pytest.raises(InputError, match="no text to learn subwords from"):
        Tokenizer.train([" "], kind="unigram")


def test_what_is_no_text_is_said(tokenizer: Tokenizer) -> None:
    message = r"text 1 \(counted from 0\) is nan of type float: expected a string\. Leave rows"
    with pytest.raises(InputError, match=message):
        tokenizer.encode_batch(["a", float("nan")])  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"text 0 .* is None of type NoneType"):
        tokenizer.encode(None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"text 0 .* is 3 of type int"):
        tokenizer.encode_with_offsets(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"got one string where many texts belong.*\[text\]"):
        tokenizer.encode_batch("abc")
    with pytest.raises(InputError, match="got one string to learn from"):
        Tokenizer.train("abc")


def test_broken_files_are_named(tokenizers: dict[Kind, Tokenizer]) -> None:
    text = tokenizers["word"].to_json()
    with pytest.raises(
        ModelFolderError, match=r"tokenizer\.json is cut or broken .*Copy the model"
    ):
        Tokenizer.from_json(text[: len(text) // 2])
    foreign = json.loads(text)
    del foreign["model"]["ulmfit"]
    for content in (json.dumps(foreign), "[]", "{}", '{"model": 3}'):
        with pytest.raises(ModelFolderError, match="was not written by ulmfit"):
            Tokenizer.from_json(content)
    broken = json.loads(text)
    broken["normalizer"] = {"type": "Nonsense"}
    with pytest.raises(ModelFolderError, match=r"tokenizer\.json does not load"):
        Tokenizer.from_json(json.dumps(broken))
    unknowing = json.loads(text)
    unknowing["model"]["unk_token"] = "no such word"
    with pytest.raises(ModelFolderError, match=r"no token for words it does not know .*'xxunk'"):
        Tokenizer.from_json(json.dumps(unknowing))
    moved = json.loads(text)
    moved["model"]["vocab"] = {"hello": 0, "xxunk": 1}
    with pytest.raises(ModelFolderError, match=r"has the tokens \['hello', 'xxunk'\] first"):
        Tokenizer.from_json(json.dumps(moved))


def test_fields_are_joined_with_marks(tokenizers: dict[Kind, Tokenizer]) -> None:
    text = join_fields(["What now", "Nothing"])
    assert text == "xxfld 1 What now xxfld 2 Nothing"
    tokens = tokenizers["word"].encode_with_offsets(text).tokens
    assert tokens[:5] == ["xxbos", "xxfld", "1", "xxmaj", "what"]


def test_threads_share_one_tokenizer(tokenizer: Tokenizer, questions: list[str]) -> None:
    fresh = Tokenizer.from_json(tokenizer.to_json())
    parts = [questions[i::7] for i in range(7)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(fresh.encode_batch, parts))
    for part, result in zip(parts, results, strict=True):
        for ids, expected in zip(result, tokenizer.encode_batch(part), strict=True):
            np.testing.assert_array_equal(ids, expected)
