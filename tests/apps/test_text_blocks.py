from __future__ import annotations

from collections.abc import Iterator

import pytest

from ulmfit.apps import text_blocks as module
from ulmfit.apps.text_blocks import text_blocks
from ulmfit.errors import InputError


def test_blocks_end_by_count_or_by_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_TEXTS", 3)
    monkeypatch.setattr(module, "BLOCK_CHARS", 10)
    blocks = list(text_blocks(["a", "b", "c", "d", "e" * 50, "f", "g" * 9, "h"]))
    assert [len(block) for block in blocks] == [3, 2, 2, 1]
    assert list(text_blocks([])) == []


def test_one_bare_string_is_no_stream_of_letters() -> None:
    with pytest.raises(InputError, match="texts is one string: expected a list of texts"):
        next(text_blocks("some text"))


def test_a_block_is_there_before_the_next_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_TEXTS", 2)
    read = []

    def texts() -> Iterator[str]:
        for text in "abcde":
            read.append(text)
            yield text

    assert next(text_blocks(texts())) == ["a", "b"]
    assert read == ["a", "b"]
