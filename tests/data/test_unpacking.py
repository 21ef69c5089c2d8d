"""Decompression is bounded, also through stdin, and however the bytes come."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from ulmfit.data import unpacking
from ulmfit.data.datasets import load_dataset
from ulmfit.data.sources import open_lines
from ulmfit.data.unpacking import SMALL, GzipText, refuse_bomb
from ulmfit.errors import InputError


def test_text_comes_through_as_it_is() -> None:
    text = b"text,label\n" + b"a fine film,pos\n" * 1000
    stream = GzipText("a", io.BytesIO(gzip.compress(text)))
    assert stream.readable()
    assert stream.read() == text
    stream.close()


def test_small_files_may_repeat_themselves(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"text,label\n" + b"a,b\n" * 200_000))
    assert len(load_dataset(path)) == 200_000


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress((b"a" * 999 + b"\n") * 200_000, compresslevel=9))
    with open_lines(path) as lines, pytest.raises(InputError) as caught:
        for _ in lines:
            pass
    assert str(caught.value).endswith(
        "expected compressed text, which grows less than 250-fold. "
        "This may be a decompression bomb. Unpack it yourself if it is what you want."
    )
    assert 60_000 < lines.line < 180_000  # of 200,000
    assert path.stat().st_size < 500_000


def test_a_line_that_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulmfit.data.sources.LONGEST_LINE", 1000)
    path = tmp_path / "a.txt"
    path.write_text("short\n" + "x" * 5000)
    with open_lines(path) as lines, pytest.raises(InputError) as caught:
        list(lines)
    assert str(caught.value) == (
        f"{path}: line 2 has more than 1,000 characters: expected texts that are shorter, one a "
        "line."
    )


def test_the_limit_is_on_growth_not_on_size() -> None:
    refuse_bomb("a", SMALL, 1)
    refuse_bomb("a", SMALL + 1, SMALL // unpacking.MOST_GROWTH + 1)
    with pytest.raises(InputError, match=r"^a: 67,108,865 bytes are packed into 1,000: "):
        refuse_bomb("a", SMALL + 1, 1000)
