"""A corpus as one flat file of token ids, read through memory mapping."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError, StorageError


class TokenCorpus:
    """Token ids of many documents in one row, and where each document starts."""

    def __init__(
        self,
        ids: npt.NDArray[Any],
        starts: npt.NDArray[np.int64],
        *,
        n_words: int = 0,
        n_chars: int = 0,
        tokenizer_digest: str = "",
    ) -> None:
        self.ids, self.starts = ids, starts
        self.n_words, self.n_chars, self.tokenizer_digest = n_words, n_chars, tokenizer_digest

    @property
    def n_tokens(self) -> int:
        """Tokens in all documents."""
        return len(self.ids)

    @property
    def n_docs(self) -> int:
        """Documents."""
        return len(self.starts) - 1

    def document(self, i: int) -> npt.NDArray[Any]:
        """Ids of document `i`."""
        return self.ids[self.starts[i] : self.starts[i + 1]]

    @classmethod
    def from_ids(cls, documents: Sequence[npt.NDArray[Any]]) -> TokenCorpus:
        """A corpus in memory."""
        starts = np.zeros(len(documents) + 1, dtype=np.int64)
        np.cumsum([len(ids) for ids in documents], out=starts[1:])
        ids = np.concatenate(documents) if documents else np.zeros(0, dtype=np.int32)
        return cls(ids, starts)

    @classmethod
    def open(cls, path: Path) -> TokenCorpus:
        """Opens a corpus folder; nothing is read before it is used."""
        meta = json.loads((path / "corpus.json").read_text())
        dtype = np.dtype(meta["dtype"])
        if (path / "ids.bin").stat().st_size != meta["n_tokens"] * dtype.itemsize:
            raise InputError(f"{path / 'ids.bin'} has the wrong size")
        ids: npt.NDArray[Any] = (
            np.memmap(path / "ids.bin", dtype=dtype, mode="r")
            if meta["n_tokens"]
            else np.zeros(0, dtype=dtype)
        )
        starts = np.fromfile(path / "starts.bin", dtype=np.int64)
        return cls(
            ids,
            starts,
            n_words=meta["n_words"],
            n_chars=meta["n_chars"],
            tokenizer_digest=meta["tokenizer_digest"],
        )


def build_corpus(
    texts: Iterable[str], tokenizer: Tokenizer, path: Path, *, batch_size: int = 512
) -> TokenCorpus:
    """Streams texts into a corpus folder.

    Raises:
        StorageError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        _write(texts, tokenizer, temporary, batch_size)
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(f"cannot write the corpus {path} ({error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return TokenCorpus.open(path)


def _write(texts: Iterable[str], tokenizer: Tokenizer, folder: Path, batch_size: int) -> None:
    dtype = np.dtype(np.uint16 if tokenizer.vocab_size < 1 << 16 else np.int32)
    n_tokens = n_words = n_chars = n_docs = 0
    digest = hashlib.sha256()
    with (folder / "ids.bin").open("wb") as ids, (folder / "starts.bin").open("wb") as starts:
        starts.write(np.zeros(1, dtype=np.int64).tobytes())
        for batch in _batches(texts, batch_size):
            encoded = tokenizer.encode_batch(batch)
            data = np.concatenate(encoded).astype(dtype).tobytes()
            lengths = np.array([len(e) for e in encoded], dtype=np.int64)
            ids.write(data)
            digest.update(data)
            starts.write((n_tokens + np.cumsum(lengths)).tobytes())
            n_tokens += int(lengths.sum())
            n_docs += len(batch)
            n_words += sum(len(text.split()) for text in batch)
            n_chars += sum(map(len, batch))
    meta = {
        "dtype": dtype.name,
        "n_tokens": n_tokens,
        "n_docs": n_docs,
        "n_words": n_words,
        "n_chars": n_chars,
        "tokenizer_digest": tokenizer.digest,
        "sha256": digest.hexdigest(),
    }
    (folder / "corpus.json").write_text(json.dumps(meta, indent=1))


def _batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    texts = iter(texts)
    while batch := list(islice(texts, size)):
        yield batch
