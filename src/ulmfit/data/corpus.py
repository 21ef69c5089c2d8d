"""A corpus as one flat file of token ids, read through memory mapping.

A corpus folder holds `ids.bin` (the ids of all documents, one after another), `starts.bin` (where
each document starts, and the end) and `corpus.json` (the counts, and which tokenizer made it).
Building and reading take the same memory for a thousand documents and for a hundred million.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError
from ulmfit.storage import atomic_directory

Ids = npt.NDArray[np.uint16] | npt.NDArray[np.int32]

FORMAT: Final = 1
IDS_FILE: Final = "ids.bin"
STARTS_FILE: Final = "starts.bin"
META_FILE: Final = "corpus.json"

# Longer words on average are none: writing without spaces, such as Chinese. German has 6 letters,
# Finnish 8.
LONGEST_MEAN_WORD: Final = 20

_START: Final = np.dtype("<i8")
_BATCH_CHARS: Final = 1 << 20  # characters held at a time, longer documents apart
_REBUILD: Final = "Delete the folder and build the corpus again."


def parts_words(n_words: int | float, n_chars: int | float) -> bool:
    """Whether a text with so many white-space words and characters has spaces between words."""
    return n_chars <= LONGEST_MEAN_WORD * n_words


@dataclass(frozen=True)
class CorpusMeta:
    """What `corpus.json` says of a corpus.

    Args:
        dtype: `<u2` or `<i4`, as NumPy writes unsigned 16 and signed 32 bits, little-endian.
        n_tokens: ids in all documents.
        n_docs: documents.
        n_words: white-space separated words of the original text.
        n_chars: characters of the original text.
        tokenizer_digest: `Tokenizer.digest` of the tokenizer that made the ids.
        ids_digest: SHA-256 of `ids.bin`, in hex.
        format: version of the folder's layout.
    """

    dtype: str
    n_tokens: int
    n_docs: int
    n_words: int
    n_chars: int
    tokenizer_digest: str
    ids_digest: str
    format: int = FORMAT


class TokenCorpus:
    """Token ids of many documents in one row, and where each document starts.

    Args:
        ids: all documents one after another; shape (n_tokens,).
        starts: first place of each document, then n_tokens; shape (n_docs + 1,).
        n_words: white-space separated words of the original text.
        n_chars: characters of the original text.
        tokenizer_digest: digest of the tokenizer that made the ids.
    """

    def __init__(
        self,
        ids: Ids,
        starts: npt.NDArray[np.int64],
        *,
        n_words: int = 0,
        n_chars: int = 0,
        tokenizer_digest: str = "",
    ) -> None:
        self.ids, self.starts = ids, starts
        self.n_words, self.n_chars = n_words, n_chars
        self.tokenizer_digest = tokenizer_digest

    @property
    def n_tokens(self) -> int:
        """Ids in all documents."""
        return len(self.ids)

    @property
    def n_docs(self) -> int:
        """Number of documents."""
        return len(self.starts) - 1

    def document(self, i: int) -> Ids:
        """Ids of document `i`; shape (T,). A view, not a copy."""
        return self.ids[self.starts[i] : self.starts[i + 1]]

    @classmethod
    def from_ids(cls, documents: Sequence[npt.NDArray[Any]]) -> TokenCorpus:
        """A corpus in memory, for small data and tests."""
        starts = np.zeros(len(documents) + 1, dtype=np.int64)
        np.cumsum([len(ids) for ids in documents], out=starts[1:])
        ids = np.concatenate(documents) if len(documents) else np.zeros(0, dtype=np.int32)
        return cls(ids, starts)

    @classmethod
    def open(cls, path: Path, *, tokenizer: Tokenizer | None = None) -> TokenCorpus:
        """Opens a corpus folder; ids are read when they are used.

        Args:
            path: the folder.
            tokenizer: refuse a corpus that another tokenizer made.

        Raises:
            InputError: no corpus is there, one of its files is cut or altered, or another
                tokenizer made it.
        """
        meta = read_meta(path)
        if tokenizer is not None and meta.tokenizer_digest != tokenizer.digest:
            raise InputError(
                f"corpus '{path}' was made with another tokenizer",
                expected=f"one with digest {tokenizer.digest[:12]}, "
                f"found {meta.tokenizer_digest[:12]}",
                hint=_REBUILD,
            )
        ids = _map(path / IDS_FILE, np.dtype(meta.dtype), meta.n_tokens)
        starts = _map(path / STARTS_FILE, _START, meta.n_docs + 1)
        # An empty document has its xxbos: every start is beyond the one before it.
        if starts[0] != 0 or starts[-1] != meta.n_tokens or bool((np.diff(starts) <= 0).any()):
            raise InputError(f"'{path / STARTS_FILE}' does not fit '{IDS_FILE}'", hint=_REBUILD)
        if _digest(ids) != meta.ids_digest:
            raise InputError(f"'{path / IDS_FILE}' was altered: its SHA-256 differs", hint=_REBUILD)
        return cls(
            ids,
            starts,
            n_words=meta.n_words,
            n_chars=meta.n_chars,
            tokenizer_digest=meta.tokenizer_digest,
        )


def build_corpus(
    texts: Iterable[str], tokenizer: Tokenizer, path: Path, *, batch_size: int = 1024
) -> TokenCorpus:
    """Streams texts into a corpus folder, which appears when it is complete.

    Args:
        texts: any iterable of documents; read once, never held.
        tokenizer: gives the ids; each document starts with `xxbos`.
        path: the folder to write. A corpus that is already there is replaced.
        batch_size: most documents tokenized at a time.

    Raises:
        SettingsError: `path` is something else than a corpus folder.
        StorageError: the disk is full or cannot be written to; nothing is left behind.
    """
    with atomic_directory(path) as folder:
        meta = _write(texts, tokenizer, folder, batch_size)
        (folder / META_FILE).write_text(json.dumps(asdict(meta), indent=1), encoding="utf-8")
    return TokenCorpus.open(path)


def read_meta(path: Path) -> CorpusMeta:
    """Reads what a corpus folder says of itself.

    Raises:
        InputError: there is no corpus, or one of another version.
    """
    try:
        content = json.loads((path / META_FILE).read_text(encoding="utf-8"))
        meta = CorpusMeta(**content)
        _require_plain(meta)
    except FileNotFoundError as error:
        raise InputError(
            f"no corpus in '{path}'", expected=f"a folder with {META_FILE}, from build_corpus"
        ) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"'{path / META_FILE}' is broken ({error})", hint=_REBUILD) from error
    if (meta.format, meta.dtype) not in ((FORMAT, "<u2"), (FORMAT, "<i4")):
        raise InputError(
            f"corpus '{path}' has format {meta.format} with ids {meta.dtype[:20]}",
            expected=f"format {FORMAT} with <u2 or <i4",
            hint=_REBUILD,
        )
    return meta


def _require_plain(meta: CorpusMeta) -> None:
    for name, value in asdict(meta).items():
        wanted = CorpusMeta.__annotations__[name]
        if type(value).__name__ != wanted or (isinstance(value, int) and not 0 <= value < 2**63):
            raise ValueError(f"{name} is {str(value)[:40]!r}")


def _digest(ids: Ids) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(ids), _BATCH_CHARS):
        digest.update(np.ascontiguousarray(ids[start : start + _BATCH_CHARS]).data)
    return digest.hexdigest()


def _write(texts: Iterable[str], tokenizer: Tokenizer, folder: Path, batch_size: int) -> CorpusMeta:
    dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<i4")
    n_tokens = n_docs = n_words = n_chars = 0
    digest = hashlib.sha256()
    with (folder / IDS_FILE).open("wb") as ids, (folder / STARTS_FILE).open("wb") as starts:
        starts.write(np.zeros(1, dtype=_START).tobytes())
        for batch in _batches(texts, batch_size):
            encoded = tokenizer.encode_batch(batch)
            data = np.concatenate(encoded).astype(dtype).tobytes()
            ids.write(data)
            digest.update(data)
            n_tokens = _write_starts(starts, n_tokens, [len(document) for document in encoded])
            n_docs += len(batch)
            n_words += sum(len(text.split()) for text in batch)
            n_chars += sum(map(len, batch))
    return CorpusMeta(
        dtype=dtype.str,
        n_tokens=n_tokens,
        n_docs=n_docs,
        n_words=n_words,
        n_chars=n_chars,
        tokenizer_digest=tokenizer.digest,
        ids_digest=digest.hexdigest(),
    )


def _write_starts(file: BinaryIO, n_tokens: int, lengths: Sequence[int]) -> int:
    ends = n_tokens + np.cumsum(lengths, dtype=_START)
    file.write(ends.tobytes())
    return int(ends[-1])


def _batches(texts: Iterable[str], batch_size: int) -> Iterator[list[str]]:
    batch: list[str] = []
    chars = 0
    for text in texts:
        batch.append(text)
        chars += len(text)
        if len(batch) >= batch_size or chars > _BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _map(path: Path, dtype: np.dtype[Any], length: int) -> npt.NDArray[Any]:
    if not path.is_file():
        raise InputError(f"'{path}' is missing", hint=_REBUILD)
    size = path.stat().st_size
    if size != length * dtype.itemsize:
        raise InputError(
            f"'{path}' has {size:,} bytes", expected=f"{length * dtype.itemsize:,}", hint=_REBUILD
        )
    if length == 0:
        return np.zeros(0, dtype=dtype)  # an empty file cannot be mapped
    return np.memmap(path, dtype=dtype, mode="r", shape=(length,))
