"""A corpus on its way to token ids: what is trained on, what is held out, how far it is read."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

import numpy as np

from ulmfit.apps.pretrain_plan import MOST_UNKNOWN
from ulmfit.apps.run import Texts
from ulmfit.data.corpus import TokenCorpus
from ulmfit.data.rules import UNK_ID
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError
from ulmfit.stages.finetune_lm import is_held_out
from ulmfit.stages.lm_training import word_counts
from ulmfit.train.tracker import Display

# Less text than this teaches nothing and leaves no window to validate on.
MIN_TOKENS = 200

NOTE_SECONDS = 15.0  # between two lines about the reading


def training_parts(texts: Texts, valid: Texts | None, fraction: float) -> tuple[Texts, Texts]:
    """Training and held-out text: what is given, or a share of the documents.

    Held-out documents that the corpus has too are not trained on.
    """
    if valid is None:

        def part(held_out: bool) -> Texts:
            return lambda: (text for text in texts() if is_held_out(text, fraction) == held_out)

        return part(False), part(True)
    given = valid

    def others() -> Iterator[str]:
        held_out = set(map(_digest, given()))
        return (text for text in texts() if _digest(text) not in held_out)

    return others, given


def _digest(text: str) -> bytes:
    """Of its words: other spaces or ends of lines make no other document."""
    words = " ".join(text.split())
    return blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def watched(texts: Texts, display: Display, doing: str, n_chars: int | None = None) -> Texts:
    """The same documents, with a line now and then that says how far the reading is.

    Args:
        texts: opens the documents.
        display: gets the lines.
        doing: what they begin with.
        n_chars: characters in all, if known.
    """

    def opened() -> Iterator[str]:
        done, noted = 0, time.monotonic()
        total = "" if n_chars is None else f" of {n_chars:,}"
        for text in texts():
            yield text
            done += len(text)
            if time.monotonic() - noted >= NOTE_SECONDS:
                display.note(f"{doing}: {done:,}{total} characters")
                noted = time.monotonic()

    return opened


def require_enough(train: TokenCorpus, held_out: TokenCorpus, *, given: bool) -> None:
    """Both parts have text to learn from and to measure on.

    Args:
        train: training tokens.
        held_out: held-out tokens.
        given: whether the held-out text is a file of its own.

    Raises:
        InputError: one has not.
    """
    if min(train.n_tokens, held_out.n_tokens) >= MIN_TOKENS:
        return
    if train.n_tokens < MIN_TOKENS:
        hint = "Give more text."
        if given:
            hint = "Give more text; what is in --valid too is not trained on."
    else:
        hint = (
            "Give more held-out text."
            if given
            else "Give more text or held-out text (--valid), or hold more out, such as "
            "--set pretrain.valid_fraction=0.1. A text that is one document has no part to hold "
            "out: put a document on a line."
        )
    raise InputError(
        f"{train.n_tokens:,} tokens to train on and {held_out.n_tokens:,} held out",
        expected=f"at least {MIN_TOKENS} of each",
        hint=hint,
    )


def warn_of_unknown_words(
    corpus: TokenCorpus, tokenizer: Tokenizer, known: Iterable[str] | None = None
) -> None:
    """A `UserWarning` where the vocabulary lacks much of the text: another language, most likely.

    Args:
        corpus: the text.
        tokenizer: its vocabulary.
        known: words that count as known, None for all of the vocabulary.
    """
    if tokenizer.kind != "word" or not corpus.n_tokens:
        return
    share = unknown_share_of(corpus, tokenizer.vocab, known)
    if share > MOST_UNKNOWN:
        warnings.warn(
            f"the language model does not know {share:.0%} of the words of this text: another "
            "language or another field? `ulmfit pretrain` trains one on your own text",
            stacklevel=2,
        )


def unknown_share_of(
    corpus: TokenCorpus, vocab: Sequence[str], known: Iterable[str] | None = None
) -> float:
    """Share of the tokens of a corpus that are `xxunk` or not among the known words, 0 to 1."""
    counts = word_counts(corpus, len(vocab)).numpy()
    unknown = np.zeros(len(vocab), dtype=bool)
    unknown[UNK_ID] = True
    if known is not None:
        words = frozenset(known)
        unknown |= np.fromiter((word not in words for word in vocab), dtype=bool, count=len(vocab))
    return float(counts[unknown].sum() / counts.sum())
