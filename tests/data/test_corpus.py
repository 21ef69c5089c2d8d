from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ulmfit.data.corpus import TokenCorpus, build_corpus, parts_words, read_meta
from ulmfit.data.rules import SPECIALS
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError, SettingsError

TEXTS = ["One fish, two fish.", "", "  Red\tfish<br />blue fish!!! ", "é 日本 fish"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, min_freq=1)


@pytest.fixture
def corpus(tokenizer: Tokenizer, tmp_path: Path) -> TokenCorpus:
    return build_corpus(iter(TEXTS), tokenizer, tmp_path / "corpus", batch_size=3)


def test_every_document_is_there(corpus: TokenCorpus, tokenizer: Tokenizer) -> None:
    expected = tokenizer.encode_batch(TEXTS)
    assert corpus.n_docs == len(TEXTS)
    assert corpus.starts.tolist() == [0, *np.cumsum([len(ids) for ids in expected])]
    for i, ids in enumerate(expected):
        np.testing.assert_array_equal(corpus.document(i), ids)
    np.testing.assert_array_equal(corpus.ids, np.concatenate(expected))


def test_words_and_characters_of_the_text_are_counted(corpus: TokenCorpus) -> None:
    assert corpus.n_tokens == len(corpus.ids)
    assert corpus.n_words == sum(len(text.split()) for text in TEXTS) == 11
    assert corpus.n_chars == sum(map(len, TEXTS))


def test_ids_are_mapped_and_not_writable(corpus: TokenCorpus) -> None:
    assert isinstance(corpus.ids, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        corpus.ids[0] = 1


def test_small_vocabularies_take_two_bytes_and_large_ones_four(tmp_path: Path) -> None:
    for n_words, dtype in ((100, np.uint16), (1 << 16, np.int32)):
        words = [*SPECIALS, *(f"w{i}" for i in range(n_words))]
        corpus = build_corpus([words[-1]], Tokenizer.from_words(words), tmp_path / str(n_words))
        assert corpus.ids.dtype == dtype
        assert corpus.ids.tolist() == [2, len(words) - 1]


@pytest.mark.parametrize("texts", [[], [""]])
def test_corpora_of_nothing(tokenizer: Tokenizer, tmp_path: Path, texts: list[str]) -> None:
    corpus = build_corpus(texts, tokenizer, tmp_path / "corpus")
    assert (corpus.n_docs, corpus.n_tokens, corpus.n_words) == (len(texts), len(texts), 0)
    assert corpus.starts.tolist() == list(range(len(texts) + 1))


def test_a_corpus_in_memory_is_the_same(corpus: TokenCorpus, tokenizer: Tokenizer) -> None:
    in_memory = TokenCorpus.from_ids(tokenizer.encode_batch(TEXTS))
    np.testing.assert_array_equal(in_memory.ids, corpus.ids)
    np.testing.assert_array_equal(in_memory.starts, corpus.starts)
    assert TokenCorpus.from_ids([]).n_docs == 0


def test_memory_does_not_grow_with_the_corpus(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ulmfit.data.corpus._BATCH_CHARS", 1 << 16)

    def texts(n: int) -> Iterator[str]:
        line = "One fish, two fish. Red fish, blue fish!!! " * 50
        return (f"{line} {i % 100}" for i in range(n))

    def peak(n: int) -> int:
        tracemalloc.start()
        try:
            build_corpus(texts(n), tokenizer, tmp_path / str(n))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(200)
    small, large = peak(200), peak(1200)
    assert (tmp_path / "1200" / "ids.bin").stat().st_size > 1_300_000
    assert large < small + 300_000


def test_the_same_texts_give_the_same_bytes(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for name, batch_size in (("a", 1), ("b", 100)):
        build_corpus(TEXTS, tokenizer, tmp_path / name, batch_size=batch_size)
    for file in ("ids.bin", "starts.bin", "corpus.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_corpus_is_replaced_as_a_whole(tokenizer: Tokenizer, tmp_path: Path) -> None:
    build_corpus(TEXTS, tokenizer, tmp_path / "corpus")
    mapped = TokenCorpus.open(tmp_path / "corpus")
    before = mapped.ids.tolist()
    build_corpus(["fish"], tokenizer, tmp_path / "corpus")
    assert TokenCorpus.open(tmp_path / "corpus").n_docs == 1
    assert mapped.ids.tolist() == before  # who still reads the old one is not disturbed
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_a_failing_source_leaves_nothing_behind(tokenizer: Tokenizer, tmp_path: Path) -> None:
    def texts() -> Iterator[str]:
        yield from TEXTS
        raise InputError("row 5 is broken")

    with pytest.raises(InputError, match="row 5 is broken"):
        build_corpus(texts(), tokenizer, tmp_path / "corpus", batch_size=2)
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_not_overwritten(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter one")
    with pytest.raises(SettingsError, match="holds other files"):
        build_corpus(TEXTS, tokenizer, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "chapter one"


def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk: it fails in the same places."""
    script = """
import resource, sys
from pathlib import Path
from ulmfit.data.corpus import build_corpus
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import StorageError

tokenizer = Tokenizer.train(["one fish"], min_freq=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    build_corpus(("one fish " * 100 for _ in range(10_000)), tokenizer, Path(sys.argv[1]))
except StorageError as error:
    print(error)
"""
    path = tmp_path / "corpus"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60
    )
    assert f"cannot write '{path}': file too large" in done.stdout, done.stderr
    assert "nothing was left half-written" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_missing_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no corpus in '.*nowhere': expected a folder with corpus"
    ):
        TokenCorpus.open(tmp_path / "nowhere")


@pytest.mark.parametrize("file", ["ids.bin", "starts.bin"])
def test_cut_and_missing_files_are_named(corpus: TokenCorpus, tmp_path: Path, file: str) -> None:
    path = tmp_path / "corpus" / file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{file}' has [\d,]+ bytes: expected .*build the corpus"):
        TokenCorpus.open(tmp_path / "corpus")
    path.unlink()
    with pytest.raises(InputError, match=f"{file}' is missing"):
        TokenCorpus.open(tmp_path / "corpus")


def test_starts_of_another_corpus_are_noticed(corpus: TokenCorpus, tmp_path: Path) -> None:
    path = tmp_path / "corpus" / "starts.bin"
    path.write_bytes(np.zeros(corpus.n_docs + 1, dtype="<i8").tobytes())
    with pytest.raises(InputError, match=r"starts\.bin' does not fit 'ids\.bin'"):
        TokenCorpus.open(tmp_path / "corpus")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "has format 99"),
        ({"dtype": "9" * 999}, "with ids 9{20}: expected"),
        ({"dtype": "<f8"}, "with ids <f8: expected format 1 with <u2 or <i4"),
        ({"surprise": 1}, r"corpus\.json' is broken .*surprise"),
    ],
)
def test_strange_descriptions_are_refused(
    corpus: TokenCorpus, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "corpus" / "corpus.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=message):
        TokenCorpus.open(tmp_path / "corpus")
    path.write_text("{")
    with pytest.raises(InputError, match=r"corpus\.json' is broken"):
        read_meta(tmp_path / "corpus")


def test_a_corpus_of_another_tokenizer_is_refused(
    corpus: TokenCorpus, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    assert corpus.tokenizer_digest == tokenizer.digest
    TokenCorpus.open(tmp_path / "corpus", tokenizer=tokenizer)
    with pytest.raises(InputError, match=r"was made with another tokenizer: expected one with dig"):
        TokenCorpus.open(tmp_path / "corpus", tokenizer=Tokenizer.train(["other"], min_freq=1))


def test_writing_without_spaces_has_no_words() -> None:
    assert parts_words(1_000, 5_900)
    assert parts_words(1_000, 20_000)
    assert not parts_words(1_000, 20_001)
