"""A tokenised corpus as one small file, to be trained on elsewhere: a machine with a GPU, say.

A ZIP archive, compressed with LZMA, of `packed.json` (what the corpus is), `tokenizer.json`, and
the folders `train/` and `valid/` of `data/corpus.py`.
"""

from __future__ import annotations

import json
import lzma
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ulmfit.apps.corpus_facts import CorpusFacts
from ulmfit.apps.corpus_parts import require_enough, warn_of_unknown_words
from ulmfit.data.corpus import IDS_FILE, META_FILE, STARTS_FILE, TokenCorpus
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError, SettingsError, StorageError
from ulmfit.settings import PretrainSettings
from ulmfit.stages.pretrain import Texts, prepare_corpus
from ulmfit.storage import (
    atomic_directory,
    atomic_file,
    atomic_write,
    refuse_overwriting,
    work_directory,
)

FORMAT: Final = 1
FACTS: Final = "packed.json"
TOKENIZER: Final = "tokenizer.json"
PARTS: Final = ("train", "valid")
FILES: Final = (IDS_FILE, STARTS_FILE, META_FILE)
_NAME_AT: Final = 30  # of the first file in a ZIP archive: the length of the header before it

# What zipfile and lzma raise, by where a file is damaged.
_DAMAGED: Final[tuple[type[Exception], ...]] = (
    *(zipfile.BadZipFile, lzma.LZMAError, zlib.error, struct.error, EOFError),
    *(LookupError, TypeError, ValueError, AttributeError, RuntimeError),
)


def pack_corpus(
    texts: Texts,
    valid_texts: Texts,
    settings: PretrainSettings,
    facts: CorpusFacts,
    out: Path,
    *,
    info: Mapping[str, str] | None = None,
    tokenizer: Tokenizer | None = None,
    valid_given: bool = False,
) -> dict[str, Any]:
    """Learn the vocabulary, tokenise both parts and write the file.

    Args:
        texts: opens the training documents.
        valid_texts: opens the held-out ones.
        settings: vocabulary.
        facts: of the corpus.
        out: the file.
        info: what the model card is to say of the corpus.
        tokenizer: the vocabulary, None to learn one.
        valid_given: whether the held-out documents are a text of their own, for what is said of
            too few of them.

    Returns:
        What `packed.json` says.

    Raises:
        InputError: too little text to pretrain on; nothing is written.
        SettingsError: `out` is a folder.
        StorageError: nothing is written.
    """
    check_packed(out)
    with work_directory(out) as folder:
        if tokenizer is not None:
            atomic_write(folder / TOKENIZER, tokenizer.to_json().encode())
        words, *corpora = prepare_corpus(texts, valid_texts, settings, folder)
        require_enough(*corpora, given=valid_given)
        if tokenizer is not None:
            warn_of_unknown_words(corpora[0], words)
        content = {
            "format": FORMAT,
            "corpus": facts.to_dict(),
            "info": dict(info or {}),
            "text": settings.text.model_dump(),
            "vocabulary": {"kind": words.kind, "size": words.vocab_size},
            "tokens": dict(zip(PARTS, (corpus.n_tokens for corpus in corpora), strict=True)),
        }
        with atomic_file(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr(FACTS, json.dumps(content, indent=1))
            archive.write(folder / TOKENIZER, TOKENIZER)
            for part in PARTS:
                for inner in FILES:
                    archive.write(folder / part / inner, f"{part}/{inner}")
    return content


def check_packed(out: Path, inputs: Iterable[Path] = ()) -> None:
    """Find out before a long run whether the file can be written, and make the folder for it.

    Raises:
        SettingsError: `out` is a folder, one of the inputs, or a file of another kind.
        StorageError: nothing can be written there.
    """
    try:
        if out.is_dir():
            raise SettingsError(f"'{out}' is a folder", expected="a file")
        refuse_overwriting(out, inputs)
        if out.exists() and not is_packed(out):
            raise SettingsError(
                f"'{out}' exists and is not a packed corpus", expected="another name, or remove it"
            )
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise StorageError(
            f"cannot write '{out}': {(error.strerror or str(error)).lower()}",
            hint="Choose another place or change its permissions.",
        ) from error


def is_packed(path: Path) -> bool:
    """Whether a file is one that `pack_corpus` wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as file:  # by its start, so that a file which is cut is one too
        head = file.read(_NAME_AT + len(FACTS))
    return head.startswith(b"PK\x03\x04") and head[_NAME_AT:] == FACTS.encode()


def read_packed(path: Path) -> dict[str, Any]:
    """What `packed.json` says.

    Raises:
        InputError: the file is cut, broken or of another version.
    """
    with _archive(path, OSError) as archive:
        content = json.loads(archive.read(FACTS))
        facts = CorpusFacts(**content["corpus"])
    if content.get("format") != FORMAT:
        raise InputError(f"{path}: has format {content.get('format')}", expected=f"{FORMAT}")
    return {**content, "corpus": facts}


def packed_tokenizer(path: Path) -> Tokenizer:
    """The vocabulary of a packed corpus.

    Raises:
        InputError: the file is cut or broken.
    """
    with _archive(path, OSError) as archive:
        return Tokenizer.from_json(archive.read(TOKENIZER).decode())


def unpack_corpus(path: Path, folder: Path) -> None:
    """Put the vocabulary and the corpora where `prepare_corpus` finds its work done.

    Raises:
        InputError: the file is cut or broken: its checksums are verified.
        StorageError: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _archive(path) as archive:
        atomic_write(folder / TOKENIZER, archive.read(TOKENIZER))
        for part in PARTS:
            if (folder / part).is_dir():
                continue
            with atomic_directory(folder / part) as draft:
                for inner in FILES:
                    (draft / inner).write_bytes(archive.read(f"{part}/{inner}"))
    for part in PARTS:
        TokenCorpus.open(folder / part)


@contextmanager
def _archive(path: Path, *more: type[Exception]) -> Iterator[zipfile.ZipFile]:
    """The file, open; what its damage raises, and `more`, as an error of the input."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (*more, *_DAMAGED) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: is cut or broken ({error})",
        expected="a file that `ulmfit pack` wrote",
        hint="Copy it again, or pack the corpus again.",
    )
