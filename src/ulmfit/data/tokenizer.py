"""Text to ids and back: one Rust tokenizer, one JSON file, and a memo that makes it fast."""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, processors

from ulmfit.data.memo import RunMemo, _encodable
from ulmfit.data.rules import (
    BOS_ID,
    PAD_ID,
    RULES_VERSION,
    SPECIALS,
    UNK_ID,
    build_normalizer,
    build_splitter,
    document_rules,
)
from ulmfit.data.vocab import build_vocab
from ulmfit.errors import ModelFolderError, SettingsError

__all__ = ["BOS_ID", "PAD_ID", "SPECIALS", "UNK_ID", "Encoded", "Tokenizer", "join_fields"]

Kind = Literal["word", "bpe", "unigram"]
Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Encoded:
    """One text as ids and tokens; offsets are (start, end) characters of the original text."""

    ids: Ids
    tokens: list[str]
    offsets: list[tuple[int, int]]


def join_fields(texts: Sequence[str]) -> str:
    """Joins the text fields of one row, each after `xxfld` and its number, as fastai does."""
    return " ".join(f"xxfld {n} {text}" for n, text in enumerate(texts, start=1))


class Tokenizer:
    """Text to ids and back."""

    def __init__(self, rust: RustTokenizer, kind: Kind) -> None:
        self._rust = rust
        self.kind = kind
        self._memo = RunMemo(rust)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        kind: Kind = "word",
        vocab_size: int = 30_000,
        min_freq: int = 2,
    ) -> Tokenizer:
        """Learns a vocabulary from texts, read once and never held.

        Args:
            texts: any iterable of documents.
            kind: whole words, or subwords by byte-pair encoding or a unigram model.
            vocab_size: most tokens, specials included.
            min_freq: words seen fewer times are unknown.
        """
        if kind != "word":
            raise SettingsError(f"kind = {kind!r} is not there yet", expected="'word'")
        return cls.from_words(
            build_vocab(count_words(texts), max_size=vocab_size, min_freq=min_freq)
        )

    @classmethod
    def from_words(cls, words: Sequence[str]) -> Tokenizer:
        """A word tokenizer with exactly this vocabulary (specials first)."""
        if tuple(words[: len(SPECIALS)]) != SPECIALS:
            raise SettingsError(
                f"vocabulary starts with {list(words[: len(SPECIALS)])}",
                expected=f"the special tokens {list(SPECIALS)}",
            )
        return cls(_word_rust({word: i for i, word in enumerate(words)}), "word")

    def with_vocab(self, tokens: Sequence[str]) -> Tokenizer:
        """The same rules with another word vocabulary."""
        if self.kind != "word":
            raise SettingsError(f"a {self.kind} tokenizer cannot take a word list")
        return Tokenizer.from_words(tokens)

    @cached_property
    def vocab(self) -> list[str]:
        """Tokens by id."""
        by_token = self._rust.get_vocab(with_added_tokens=True)
        return sorted(by_token, key=by_token.__getitem__)

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return len(self.vocab)

    def encode(self, text: str) -> Ids:
        """Ids of one text, `xxbos` first."""
        return self._memo.encode([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[Ids]:
        """Ids of many texts: the fast way in."""
        return self._memo.encode(texts)

    def encode_with_offsets(self, text: str) -> Encoded:
        """Ids with the place of each token in the text."""
        encoding = self._rust.encode(_encodable(text))
        return Encoded(np.array(encoding.ids, dtype=np.int32), encoding.tokens, encoding.offsets)

    def decode(self, ids: Iterable[int]) -> str:
        """Tokens joined by spaces, without `xxbos` and `xxpad`."""
        return " ".join(self.vocab[i] for i in ids if i not in (BOS_ID, PAD_ID))

    def to_json(self) -> str:
        """The whole tokenizer as the JSON that the `tokenizers` library loads."""
        content = json.loads(self._rust.to_str())
        content["model"]["ulmfit"] = {"rules": RULES_VERSION, "kind": self.kind}
        return json.dumps(content, ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """Rebuilds a tokenizer from `to_json`.

        Raises:
            ModelFolderError: the text is cut, or is not one of our tokenizers.
        """
        try:
            ours = json.loads(text)["model"]["ulmfit"]
            kind, rules = ours["kind"], ours["rules"]
            rust = RustTokenizer.from_str(text)
        except Exception as error:
            raise ModelFolderError(
                f"tokenizer.json cannot be read ({error})", expected="a file written by ulmfit"
            ) from error
        if rules > RULES_VERSION:
            raise ModelFolderError(
                f"tokenizer.json has rules version {rules}",
                expected=f"at most {RULES_VERSION}",
                hint="Update ulmfit.",
            )
        return cls(rust, kind)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the JSON, in hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer.from_json, (self.to_json(),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tokenizer:
        return copy.copy(self)


def count_words(texts: Iterable[str]) -> Counter[str]:
    """Occurrences of each word, all rules applied."""
    runs: Counter[str] = Counter()
    for text in texts:
        runs.update(document_rules(text).split())
    normalizer, splitter = build_normalizer(), build_splitter()
    words: Counter[str] = Counter()
    for run, n in runs.items():
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(_encodable(run))):
            words[word] += n
    return words


def _word_rust(vocab: dict[str, int]) -> RustTokenizer:
    rust = RustTokenizer(models.WordLevel(vocab, unk_token="xxunk"))
    rust.normalizer = build_normalizer()
    rust.pre_tokenizer = build_splitter()
    rust.post_processor = processors.TemplateProcessing(
        single="xxbos $A", special_tokens=[("xxbos", BOS_ID)]
    )
    return rust
