from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from ulmfit.apps.corpus_facts import measure_corpus
from ulmfit.apps.packed_corpus import (
    is_packed,
    pack_corpus,
    packed_tokenizer,
    read_packed,
    unpack_corpus,
)
from ulmfit.data.corpus import TokenCorpus
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError, StorageError
from ulmfit.settings import PretrainSettings, TextSettings

TEXTS, HELD_OUT = tiny.labelled_texts(300)[0], tiny.labelled_texts(30, seed=8)[0]
SETTINGS = PretrainSettings(text=TextSettings(min_freq=1))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "x.packed"
    facts = measure_corpus(lambda: TEXTS)
    pack_corpus(lambda: TEXTS, lambda: HELD_OUT, SETTINGS, facts, path, info={"licence": "CC0"})
    return path


def test_what_comes_out_is_what_went_in(packed: Path, tmp_path: Path) -> None:
    assert is_packed(packed)
    assert list(packed.parent.iterdir()) == [packed]
    content = read_packed(packed)
    assert content["corpus"] == measure_corpus(lambda: TEXTS)
    assert content["info"] == {"licence": "CC0"}
    unpack_corpus(packed, tmp_path)
    words = Tokenizer.from_json((tmp_path / "tokenizer.json").read_text())
    for part, texts in (("train", TEXTS), ("valid", HELD_OUT)):
        corpus = TokenCorpus.open(tmp_path / part, tokenizer=words)
        assert corpus.n_words == sum(len(text.split()) for text in texts)
        expected = np.concatenate(words.encode_batch(texts))
        assert np.array_equal(corpus.ids, expected)
        assert content["tokens"][part] == len(expected)


def test_a_given_vocabulary_is_kept(tmp_path: Path) -> None:
    words = Tokenizer.train(["the film"], min_freq=1)
    facts = measure_corpus(lambda: TEXTS)
    path = tmp_path / "x"
    with pytest.warns(UserWarning, match="does not know"):
        pack_corpus(lambda: TEXTS, lambda: HELD_OUT, SETTINGS, facts, path, tokenizer=words)
    unpack_corpus(path, tmp_path / "out")
    assert (tmp_path / "out" / "tokenizer.json").read_text() == words.to_json()


def test_other_files_are_not_packed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "b")
    assert not any(map(is_packed, (tmp_path, tmp_path / "a.txt", tmp_path / "a.zip")))
    with pytest.raises(InputError, match="is cut or broken"):
        read_packed(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["train/ids.bin", "train/starts.bin", "tokenizer.json"])
def test_a_changed_byte_is_noticed(packed: Path, tmp_path: Path, name: str) -> None:
    content = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        info = archive.getinfo(name)
    content[info.header_offset + 30 + len(name) + info.compress_size // 2] ^= 0xFF
    path = tmp_path / "x.packed"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is cut or broken"):
        unpack_corpus(path, tmp_path / "out")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_file_is_one_still_and_told(packed: Path, tmp_path: Path, share: float) -> None:
    content = packed.read_bytes()
    path = tmp_path / "x.packed"
    path.write_bytes(content[: int(share * len(content))])
    assert is_packed(path)
    for read in (read_packed, packed_tokenizer):
        with pytest.raises(InputError, match="is cut or broken"):
            read(path)


def test_its_vocabulary_can_be_read_alone(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        assert packed_tokenizer(packed).to_json() == archive.read("tokenizer.json").decode()


def test_a_damaged_file_is_an_error_of_the_input(packed: Path, tmp_path: Path) -> None:
    content = packed.read_bytes()
    path, refused = tmp_path / "x.packed", 0
    for i, at in enumerate(range(0, len(content), max(1, len(content) // 150))):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        try:
            read_packed(path)
            unpack_corpus(path, tmp_path / str(i))
        except InputError:
            refused += 1
    assert refused > 100


def test_the_folder_of_the_file_is_made(tmp_path: Path) -> None:
    facts = measure_corpus(lambda: TEXTS)
    path = tmp_path / "new" / "x.packed"
    pack_corpus(lambda: TEXTS, lambda: HELD_OUT, SETTINGS, facts, path)
    assert is_packed(path)
    with pytest.raises(StorageError, match=r"cannot write '.*': "):
        pack_corpus(lambda: TEXTS, lambda: HELD_OUT, SETTINGS, facts, path / "x")


def test_what_cannot_be_pretrained_on_is_not_packed(tmp_path: Path) -> None:
    facts = measure_corpus(lambda: TEXTS)
    path = tmp_path / "x.packed"
    for given, hint in ((False, "put a document on a line"), (True, "Give more held-out text")):
        with pytest.raises(InputError, match=rf"and 0 held out.*{hint}"):
            pack_corpus(lambda: TEXTS, lambda: [], SETTINGS, facts, path, valid_given=given)
    assert list(tmp_path.iterdir()) == []
