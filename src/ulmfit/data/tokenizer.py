"""Text to ids and back: one Rust tokenizer, one JSON file, and a memo that makes it fast.

`tokenizer.json` is a plain file of the `tokenizers` library and holds everything, the text rules
too: any of its bindings gives the same ids without this package. Here the ids of a white-space
chunk are remembered (`memo.py`), which gives the same answer many times faster.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, processors

from ulmfit.data.detokenize import detokenize
from ulmfit.data.memo import ChunkMemo, encodable
from ulmfit.data.offsets import spans_of_tokens
from ulmfit.data.rules import (
    BOS_ID,
    PAD_ID,
    RULES_VERSION,
    SPECIALS,
    UNK_ID,
    Kind,
    build_normalizer,
    build_splitter,
)
from ulmfit.data.subwords import train_subwords
from ulmfit.data.vocab import build_vocab, count_words
from ulmfit.errors import InputError, ModelFolderError, SettingsError

__all__ = ["BOS_ID", "PAD_ID", "SPECIALS", "UNK_ID", "Encoded", "Kind", "Tokenizer", "join_fields"]

Ids = npt.NDArray[np.int32]

_UNKNOWN = "\ue000"  # a character for private use: no vocabulary has it
_OURS = "ulmfit"  # key inside "model": the library refuses unknown keys anywhere else


@dataclass(frozen=True)
class Encoded:
    """One text as ids and tokens; offsets are (start, end) characters of the original text."""

    ids: Ids
    tokens: list[str]
    offsets: list[tuple[int, int]]


def join_fields(texts: Sequence[str]) -> str:
    """Joins the text fields of one row, each after `xxfld` and its number (fastai 2.8).

    Example::

        join_fields(["A title", "A body"])  # "xxfld 1 A title xxfld 2 A body"
    """
    return " ".join(f"xxfld {n} {text}" for n, text in enumerate(texts, start=1))


class Tokenizer:
    """Text to ids and back; train or load one with the class methods.

    Safe to share between threads, to pickle and to copy.

    Example::

        tokenizer = Tokenizer.train(texts, vocab_size=30_000)
        tokenizer.encode("Not bad!")  # array([2, 8, 33, 99, 45], dtype=int32)
    """

    def __init__(self, text: str, rust: RustTokenizer, kind: Kind) -> None:
        self.kind: Kind = kind
        self._text, self._rust = text, rust
        self._memo = ChunkMemo(rust)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        kind: Kind = "word",
        vocab_size: int = 30_000,
        min_freq: int = 2,
    ) -> Tokenizer:
        """Learns a vocabulary. The same texts give the same tokenizer, bit by bit.

        Args:
            texts: any iterable of documents; read once, never held.
            kind: `word`; or subwords, `bpe` or `unigram`, for languages with long or unspaced
                words.
            vocab_size: most tokens, special ones included (fastai 2.8: 60,000).
            min_freq: words (for subwords: characters) seen fewer times are unknown.

        Raises:
            InputError: subwords of no text at all, or one string in place of many.
            SettingsError: an unknown kind, or a vocabulary too small to hold anything.
        """
        if kind not in get_args(Kind):
            raise SettingsError(f"kind = {kind!r}", expected="'word', 'bpe' or 'unigram'")
        if isinstance(texts, str):
            raise InputError("got one string to learn from", expected="an iterable of documents")
        counts = count_words(texts, kind=kind)
        if kind == "word":
            return cls.from_words(build_vocab(counts, max_size=vocab_size, min_freq=min_freq))
        model = train_subwords(counts, kind=kind, vocab_size=vocab_size, min_freq=min_freq)
        return cls.from_json(_write(model, kind))

    @classmethod
    def from_words(cls, words: Sequence[str]) -> Tokenizer:
        """A word tokenizer with exactly this vocabulary.

        Args:
            words: token of each id; the special tokens come first.

        Raises:
            SettingsError: the special tokens are not in their places, or a word is there twice.
        """
        if tuple(words[: len(SPECIALS)]) != SPECIALS:
            raise SettingsError(
                f"the vocabulary starts with {list(words[: len(SPECIALS)])}",
                expected=f"the special tokens {list(SPECIALS)}",
            )
        ids = {word: i for i, word in enumerate(words)}
        if len(ids) < len(words):
            twice = next(word for i, word in enumerate(words) if ids[word] != i)
            raise SettingsError(f"the vocabulary has {twice!r} twice", expected="each word once")
        return cls.from_json(_write(models.WordLevel(ids, unk_token=SPECIALS[UNK_ID]), "word"))

    def with_vocab(self, tokens: Sequence[str]) -> Tokenizer:
        """A tokenizer with the same rules and other words, to fine-tune on a task's own.

        Raises:
            SettingsError: this is a subword tokenizer, whose pieces cannot be listed anew; or the
                list is not a vocabulary (see `from_words`).
        """
        if self.kind != "word":
            raise SettingsError(
                f"a tokenizer of kind '{self.kind}' keeps its vocabulary",
                expected="one of kind 'word'",
                hint="Subwords spell any new word: use the tokenizer as it is.",
            )
        return Tokenizer.from_words(tokens)

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """A tokenizer from the content of its `tokenizer.json`.

        Raises:
            ModelFolderError: the file is cut, broken, or from another program.
        """
        try:
            content = json.loads(text)
        except ValueError as error:
            raise ModelFolderError(
                f"tokenizer.json is cut or broken ({error})",
                expected="the whole file as it was saved",
                hint="Copy the model folder again.",
            ) from error
        kind = _kind_of(content)
        try:
            rust = RustTokenizer.from_str(text)
        except (
            BaseException
        ) as error:  # nothing more precise, and what panics in Rust is no Exception
            if isinstance(error, KeyboardInterrupt):
                raise
            raise ModelFolderError(
                f"tokenizer.json does not load ({str(error)[:200]})",
                expected="the whole file as it was saved",
                hint="Copy the model folder again, or update the package `tokenizers`.",
            ) from error
        if _rules_of(rust) != _rules_of_today(kind):
            # Others may be meant to run for ever, or crash the library.
            raise ModelFolderError(
                "tokenizer.json has other rules than ulmfit's",
                expected=f"those of version {RULES_VERSION}",
                hint="Copy the model folder again, or upgrade ulmfit.",
            )
        try:
            rust.encode(_UNKNOWN)
        except Exception as error:  # nothing more precise
            raise ModelFolderError(
                f"tokenizer.json has no token for words it does not know ({error})",
                expected=f"{SPECIALS[UNK_ID]!r} in its vocabulary",
                hint="Copy the model folder again.",
            ) from error
        tokenizer = cls(text, rust, kind)
        if tuple(tokenizer.vocab[: len(SPECIALS)]) != SPECIALS:
            raise ModelFolderError(
                f"tokenizer.json has the tokens {tokenizer.vocab[: len(SPECIALS)]} first",
                expected=f"the special tokens {list(SPECIALS)}",
                hint="Copy the model folder again.",
            )
        return tokenizer

    def to_json(self) -> str:
        """The content of `tokenizer.json`, which the `tokenizers` library loads as it is."""
        return self._text

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `to_json`, in hex: equal digests give equal ids."""
        return hashlib.sha256(self._text.encode()).hexdigest()

    @cached_property
    def vocab(self) -> list[str]:
        """Token of each id."""
        ids = self._rust.get_vocab()
        return sorted(ids, key=ids.__getitem__)

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return len(self.vocab)

    def encode(self, text: str) -> Ids:
        """Ids of one text, `xxbos` first; shape (T,)."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[Ids]:
        """Ids of many texts: the fast way in. Each as from `encode`.

        Raises:
            InputError: one of them is no string (a missing value, say), or all are one string.
        """
        _check_texts(texts)
        return self._memo.encode(texts)

    def encode_with_offsets(self, text: str) -> Encoded:
        """Ids of one text and the place of each token in it, for explanations."""
        _check_texts([text])
        encoding = self._rust.encode(encodable(text))
        tokens = [self.vocab[i] for i in encoding.ids]  # the library's own show unknown text
        spans = spans_of_tokens(text, tokens, encoding.offsets)
        return Encoded(np.array(encoding.ids, dtype=np.int32), tokens, spans)

    def decode(self, ids: Iterable[int]) -> str:
        """Readable text: marks are carried out, not shown."""
        return detokenize((self.vocab[i] for i in ids), self.kind)

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer.from_json, (self._text,)


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise InputError(
            "got one string where many texts belong", expected="a list", hint="Write [text]."
        )
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(
                f"text {i} (counted from 0) is {text!r} of type {type(text).__name__}",
                expected="a string",
                hint="Leave rows without text out, or give them an empty one.",
            )


def _write(model: models.Model, kind: Kind) -> str:
    content = json.loads(_assemble(model, kind).to_str())
    content["model"][_OURS] = {"kind": kind, "rules": RULES_VERSION}
    return json.dumps(content, ensure_ascii=False, indent=1)


def _assemble(model: models.Model, kind: Kind) -> RustTokenizer:
    rust = RustTokenizer(model)
    rust.normalizer = build_normalizer()
    rust.pre_tokenizer = build_splitter(kind)
    rust.post_processor = processors.TemplateProcessing(
        single="xxbos $A", special_tokens=[("xxbos", BOS_ID)]
    )
    return rust


def _kind_of(content: Any) -> Kind:
    try:
        kind: Kind = content["model"][_OURS]["kind"]
    except (KeyError, TypeError):
        kind = None  # type: ignore[assignment]
    if kind not in get_args(Kind):
        raise ModelFolderError(
            "tokenizer.json was not written by ulmfit",
            expected="the tokenizer of a model that ulmfit saved",
            hint="The weights of a model fit its own tokenizer only: no other can take its place.",
        )
    return kind


def _rules_of(rust: RustTokenizer) -> tuple[object, ...]:
    """All but the model, mostly as JSON; the vocabulary, which makes `to_str` slow, is left out."""
    parts = (rust.normalizer, rust.pre_tokenizer, rust.post_processor, rust.decoder)
    states = [part.__getstate__() if part is not None else None for part in parts]
    return (*states, rust.truncation, rust.padding, rust.get_added_tokens_decoder())


@cache
def _rules_of_today(kind: Kind) -> tuple[object, ...]:
    return _rules_of(_assemble(models.WordLevel({}, unk_token=SPECIALS[UNK_ID]), kind))
