"""A member that counts words: TF-IDF of words and word pairs, and a linear layer.

What a bag of words knows and what a language model knows differ: added to the classifier's scores,
it is worth most where labels are few (docs/log.md, "what is a bag of words worth, and with which
weight?"). It reads the classifier's own tokens, so that no second tokenizer is needed. No torch
here: exported models have it too.

A document's score is a bias and one sum over its words and pairs, so that what each of them adds is
known exactly.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.data.rules import SPECIALS
from ulmfit.stages.ensemble import Probabilities, Scores, probabilities

Ids = NDArray[np.integer]

# What reports call the members.
LANGUAGE_MODELS, WORD_COUNTS = "its language models alone", "its word counts alone"

_PAIR = 1 << 32  # a pair's key: (first word + 1) * 2^32 + second word; a word's is its id


@dataclass(frozen=True)
class Terms:
    """What the known words and pairs of a document add to its scores.

    Attributes:
        first: position of the word, of a pair its first one, (K,).
        second: of a pair its second word; of a word -1, (K,).
        added: to the score of each class, (K, C). A term that occurs several times has a row for
            each, which share what it adds.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    added: Scores


@dataclass(frozen=True)
class NGrams:
    """The fitted member.

    Attributes:
        keys: its words and pairs as numbers, ascending, (F,).
        idf: inverse document frequency of each, (F,).
        weights: what each speaks for, (F, C).
        bias: scores of a document without any of them, (C,).
        share: what its scores count beside the averaged ones of the language models.
    """

    keys: NDArray[np.int64]
    idf: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    share: float = 1.0

    def scores(self, documents: Sequence[Ids]) -> Scores:
        """Scores of each class as `ensemble` takes them, not yet weighed by the share, (N, C)."""
        if not documents:
            return np.zeros((0, len(self.bias)))
        found = np.stack([self.terms(each).added.sum(axis=0) for each in documents])
        return np.asarray(self.bias + found, dtype=np.float64)

    def terms(self, document: Ids) -> Terms:
        """What a document's words and pairs add to `bias`."""
        keys, first, second = keys_of(document)
        places = np.searchsorted(self.keys, keys)
        known = np.zeros(len(keys), dtype=bool)
        inside = places < len(self.keys)
        known[inside] = self.keys[places[inside]] == keys[inside]
        columns = places[known]
        found, inverse, counts = np.unique(columns, return_inverse=True, return_counts=True)
        values = (1 + np.log(counts)) * self.idf[found]
        values /= max(float(np.linalg.norm(values)), 1e-12)
        added = (values / counts)[:, None] * self.weights[found]
        return Terms(first[known], second[known], added[inverse].astype(np.float64))

    def to_bytes(self) -> bytes:
        """Contents of its file, a safetensors file."""
        from safetensors.numpy import save

        return save(
            {"keys": self.keys, "idf": self.idf, "weights": self.weights, "bias": self.bias}
        )

    @classmethod
    def from_bytes(cls, content: bytes, *, terms: int, n_classes: int, share: float) -> NGrams:
        """The member in a file.

        Args:
            content: as `to_bytes` gives it.
            terms: F, as the folder's `config.json` has it.
            n_classes: C.
            share: see the class.

        Raises:
            ValueError: it is no such file, or of another model; says why.
        """
        found = _tensors(content)
        shapes = {name: value.shape for name, value in found.items()}
        vector, table = (terms,), (terms, n_classes)
        wanted = {"keys": vector, "idf": vector, "weights": table, "bias": (n_classes,)}
        if shapes != wanted:
            raise ValueError(f"it holds {shapes}, not {wanted}")
        keys = found.pop("keys")
        if keys.dtype != np.int64 or not (np.diff(keys) > 0).all():
            raise ValueError("its keys are not whole numbers in ascending order")
        for name, values in found.items():
            if values.dtype != np.float32 or not np.isfinite(values).all():
                raise ValueError(f"'{name}' does not hold finite numbers of 32 bits")
        return cls(keys, **found, share=share)


def blend(scores: Scores, member: NGrams, documents: Sequence[Ids], *, multi_label: bool) -> Scores:
    """Scores with the member's added by its share, (N, C) both: the evidence of both counts.

    Returns:
        log p of each class, for several labels log-odds, as `ensemble.average_scores`.
    """
    return added(scores, member.scores(documents), member.share, multi_label=multi_label)


def added(scores: Scores, others: Scores, share: float, *, multi_label: bool) -> Scores:
    """`blend` of scores that the member has given already, (N, C)."""
    together: Scores = scores + share * others
    if not multi_label:
        together = together - np.logaddexp.reduce(together, axis=1, keepdims=True)
    return together


def told_apart(
    together: Probabilities,
    member: NGrams,
    documents: Sequence[Ids],
    temperature: float,
    *,
    multi_label: bool,
) -> dict[str, Probabilities]:
    """Probabilities of the language models alone and of the member alone, by name.

    Args:
        together: probabilities of all members, calibrated, (N, C).
        member: the one that counts words.
        documents: token ids, (N,).
        temperature: of the calibration.
        multi_label: whether a row can have several labels.
    """
    # As near to 0 and 1 as float32 tells apart from them.
    p = np.clip(together.astype(np.float64), 1e-38, 1 - 1e-7)
    scores = temperature * (np.log(p) - (np.log1p(-p) if multi_label else 0.0))
    own = member.scores(documents)
    alone = {LANGUAGE_MODELS: scores - member.share * own, WORD_COUNTS: own}
    return {name: probabilities(each, multi_label=multi_label) for name, each in alone.items()}


def keys_of(document: Ids) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Keys of a document's words and pairs, (K,), and as in `Terms` where they are.

    Marks (`xxmaj` and the like) and unknown words are none, and do not part what is around them.
    """
    positions = np.flatnonzero(document >= len(SPECIALS))
    words = document[positions].astype(np.int64)
    pairs = (words[:-1] + 1) * _PAIR + words[1:]
    nowhere = np.full(len(words), -1, dtype=np.int64)
    return (
        np.concatenate([words, pairs]),
        np.concatenate([positions, positions[:-1]]),
        np.concatenate([nowhere, positions[1:]]),
    )


_TYPES: dict[str, np.dtype[Any]] = {"I64": np.dtype("<i8"), "F32": np.dtype("<f4")}


def _tensors(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file: eight bytes of length, a header in JSON, the numbers.

    Read here, as the library that does is not there where only an exported model is used.

    Raises:
        ValueError: it is no such file.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    if not 8 <= start <= len(content):
        raise ValueError("it is cut short")
    header = json.loads(content[8:start])
    if not isinstance(header, Mapping):
        raise ValueError("its header is no JSON object")
    try:
        return {
            name: _tensor(content, start, about)
            for name, about in header.items()
            if name != "__metadata__"
        }
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"its header is not one of safetensors ({error!r})") from error


def _tensor(content: bytes, start: int, about: Mapping[str, Any]) -> NDArray[Any]:
    kind, shape = _TYPES[about["dtype"]], [int(size) for size in about["shape"]]
    begin, end = (start + int(offset) for offset in about["data_offsets"])
    count = math.prod(shape)
    inside = min(shape, default=0) >= 0 and start <= begin <= end <= len(content)
    if not inside or end - begin != count * kind.itemsize:
        raise ValueError("its header does not fit its contents")
    # A copy: numbers that lie where they lay in the file need not be aligned.
    return np.frombuffer(content, kind, count, begin).reshape(shape).copy()
