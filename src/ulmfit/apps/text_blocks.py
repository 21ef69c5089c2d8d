"""A stream of texts in blocks: enough to sort by length, few enough to hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ulmfit.errors import InputError

BLOCK_TEXTS = 1024
BLOCK_CHARS = 4_000_000


def text_blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Cut a stream in lists of at most `BLOCK_TEXTS` texts and about `BLOCK_CHARS` characters.

    Raises:
        InputError: one bare string, which is a stream of letters.
    """
    if isinstance(texts, str):
        raise InputError(
            "texts is one string", expected="a list of texts", hint="Put it in a list: [text]."
        )
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text) if isinstance(text, str) else 0  # the tokenizer says what is wrong
        if len(block) == BLOCK_TEXTS or size >= BLOCK_CHARS:
            yield block
            block, size = [], 0
    if block:
        yield block
