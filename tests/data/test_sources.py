from __future__ import annotations

import gzip
import io
import random
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.data.sources import (
    SNIFF_BYTES,
    LineReader,
    nearest,
    open_bytes,
    open_lines,
    read_text,
    reading,
    require_exists,
    shorten,
    stem_suffix,
)
from ulmfit.errors import InputError


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def lines_of(path: Path, encoding: str | None = None) -> list[str]:
    with open_lines(path, encoding) as lines:
        return list(lines)


def feed_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> io.BytesIO:
    buffer = io.BytesIO(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(buffer))
    return buffer


def test_lines_keep_their_ends_and_are_counted(tmp_path: Path) -> None:
    with open_lines(written(tmp_path / "a.txt", b"one\r\ntwo\nthree")) as lines:
        assert list(lines) == ["one\r\n", "two\n", "three"]
        assert (lines.line, lines.encoding) == (3, "utf-8")


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_utf_8_and_all_byte_order_marks_are_just_read(tmp_path: Path, codec: str) -> None:
    path = written(tmp_path / "a.txt", "grün\n한국어\n".encode(codec))
    assert lines_of(path) == ["grün\n", "한국어\n"]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_by_its_mark_in_either_order(tmp_path: Path, codec: str) -> None:
    path = written(tmp_path / "a.txt", ("\ufeffgrün\n" * 9).encode(codec))
    assert lines_of(path)[0] == "grün\n"


def test_utf_16_without_a_mark_says_what_to_pass(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "text,label\ngreen,1\n".encode("utf-16-le"))
    with pytest.raises(InputError, match=r"a\.csv: looks like UTF-16 without .*utf-16-le"):
        open_lines(path)
    assert lines_of(path, "utf-16-le")[0] == "text,label\n"


def test_latin_1_is_refused_with_line_byte_and_remedy(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "text,label\nok,1\ncafé au lait,1\n".encode("cp1252"))
    with pytest.raises(InputError) as caught:
        lines_of(path)
    message = str(caught.value)
    assert f"{path}: line 3 (byte 20 of the file): 0xe9 after 'caf' is not utf-8" in message
    assert "`--encoding cp1252`" in message
    assert "iconv -f cp1252 -t utf-8" in message
    assert lines_of(path, "cp1252")[2] == "café au lait,1\n"


def test_a_wrong_byte_far_into_the_file_is_found_by_its_line(tmp_path: Path) -> None:
    good = "an ordinary line of text, ünicode too\n".encode() * 70_000
    assert len(good) > 2 * SNIFF_BYTES
    path = written(tmp_path / "a.txt", good + b"abc \xff\n" + good)
    with pytest.raises(
        InputError, match=rf"line 70001 \(byte {len(good) + 5} of the file\): 0xff after 'abc '"
    ):
        lines_of(path)


def test_a_character_cut_off_at_the_end_of_the_file_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "ab\ncä".encode()[:-1])
    with pytest.raises(InputError, match=r"line 2 \(byte 5 of the file\): 0xc3"):
        lines_of(path)


def test_an_unknown_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="encoding 'utf-9' is not known: expected a codec"):
        open_lines(written(tmp_path / "a.txt", b"a"), "utf-9")


@pytest.mark.parametrize("name", ["hex", "rot13", "base64", "a\0b"])
def test_codecs_of_other_things_are_no_encodings(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not known: expected a codec name"):
        open_lines(written(tmp_path / "a.txt", b"a"), name)


@pytest.mark.parametrize(
    ("data", "asked"),
    [
        ("né\n".encode("utf-8-sig"), "cp1252"),
        ("né\n".encode("utf-16"), "utf-16-le"),
        ("né\n".encode("utf-16"), "latin-1"),
    ],
)
def test_a_byte_order_mark_decides(tmp_path: Path, data: bytes, asked: str) -> None:
    assert lines_of(written(tmp_path / "a.txt", data), asked) == ["né\n"]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "a PNG image"),
        (b"\x7fELF\x02\x01\x01" + b"\0" * 50, "a program"),
        (b"PK\x03\x04" + b"\0" * 50, "a ZIP archive, or an Excel"),
        (b"PAR1" + b"\x15\x04" * 50, "a Parquet file"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"text,label\n\0\0\0\0,1\n", "zero byte at byte 11"),
        (bytes(range(1, 9)) * 20, "many control characters"),
        (random.Random(0).randbytes(10_000), "binary file"),
    ],
)
def test_a_binary_file_is_called_what_it_is(tmp_path: Path, data: bytes, what: str) -> None:
    with pytest.raises(InputError, match=rf"a\.csv: is .*{what}.*: expected text. Convert it"):
        open_lines(written(tmp_path / "a.csv", data))


@pytest.mark.parametrize("text", ["text,label\nhello,a\nwor\0ld,b\n", "ä\0" + 100 * "ö\n"])
def test_a_stray_zero_byte_is_a_character(tmp_path: Path, text: str) -> None:
    assert "".join(lines_of(written(tmp_path / "a.csv", text.encode()))) == text


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"text,label\nhello,a\n" * 100 + b"\0\0", 201),  # what a crash leaves of a file
        (b"text\0label\0" * 100, 1),
        (b"caf\xe9 a\0b" + b"text and more\n" * 100, 1),
    ],
)
def test_zero_bytes_that_are_no_characters(tmp_path: Path, data: bytes, line: int) -> None:
    with pytest.raises(InputError, match=rf"binary file \(a zero byte at .*, in line {line}\)"):
        open_lines(written(tmp_path / "a.csv", data))


def test_gzip_is_unpacked_whatever_its_name(tmp_path: Path) -> None:
    packed = gzip.compress("äh\n".encode())
    for name in ("a.txt.gz", "a.txt"):
        assert lines_of(written(tmp_path / name, packed)) == ["äh\n"]


def test_a_binary_file_inside_of_gzip_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv.gz", gzip.compress(b"\x89PNG\0\0"))
    with pytest.raises(InputError, match="is a PNG image"):
        open_lines(path)


@pytest.mark.parametrize("place", [5, 100, -4])
def test_damaged_or_cut_gzip(tmp_path: Path, place: int) -> None:
    packed = gzip.compress(random.Random(0).randbytes(2000).hex().encode())
    cut = written(tmp_path / "a.txt.gz", packed[:place])
    with pytest.raises(InputError, match=r"a\.txt\.gz: damaged or cut gzip data .*gzip -t"):
        lines_of(cut)


def test_damage_deep_inside_of_gzip(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(random.Random(0).randbytes(3 * SNIFF_BYTES).hex().encode()))
    packed[-9] ^= 0xFF
    with pytest.raises(InputError, match="damaged or cut gzip data"):
        lines_of(written(tmp_path / "a.txt.gz", bytes(packed)))


def test_called_gz_but_not_gzip(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is called \.gz but is not gzip"):
        open_bytes(written(tmp_path / "a.csv.gz", b"text,label\n"))


def test_a_missing_file_offers_the_nearest_name(tmp_path: Path) -> None:
    written(tmp_path / "reviews.csv", b"")
    with pytest.raises(InputError) as caught:
        open_lines(tmp_path / "review.csv")
    message = str(caught.value)
    assert f"{tmp_path}/review.csv: no such file or folder" in message
    assert f"Did you mean {tmp_path}/reviews.csv?" in message


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(InputError, match="no such file, nor a folder /nowhere"):
        require_exists(Path("/nowhere/reviews.csv"))


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder: expected a file"):
        open_bytes(tmp_path)


def test_a_file_that_may_not_be_read_is_named() -> None:
    with pytest.raises(InputError, match=r"x: cannot be read \(Permission denied\)"), reading("x"):
        raise PermissionError(13, "Permission denied")


def test_a_damaged_tar_is_named() -> None:
    with pytest.raises(InputError, match="x: damaged or cut tar archive"), reading("x"):
        raise tarfile.ReadError("not a gzip file")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_stdin_is_read_and_stays_open(monkeypatch: pytest.MonkeyPatch, pack: object) -> None:
    data = "one\nzwölf\n".encode()
    buffer = feed_stdin(monkeypatch, gzip.compress(data) if pack is gzip.compress else data)
    with open_lines("-") as lines:
        assert lines.name == "stdin"
        assert list(lines) == ["one\n", "zwölf\n"]
    assert not buffer.closed


def test_a_file_called_stdin_is_a_file(working_folder: Path) -> None:
    written(working_folder / "stdin", b"from a file\n")
    assert lines_of(Path("stdin")) == ["from a file\n"]


def test_the_sample_ends_with_a_whole_line(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", ("x" * 99 + "ü\n").encode() * 20_000)
    with open_lines(path) as lines:
        assert len(lines.head) == SNIFF_BYTES
        assert lines.sample.endswith("xü\n")
        assert sum(1 for _ in lines) == 20_000


def test_read_text_gives_the_file_as_it_is(tmp_path: Path) -> None:
    assert read_text(written(tmp_path / "a.txt", b"a\r\n\r\nb \n")) == "a\r\n\r\nb \n"
    assert read_text(written(tmp_path / "empty.txt", b"")) == ""
    with pytest.raises(InputError, match=r"bad\.txt: line 2"):
        read_text(written(tmp_path / "bad.txt", b"a\n\xe9t\xe9"))
    with pytest.raises(InputError, match="cannot be read"):
        read_text(tmp_path / "none.txt")


def test_a_line_of_a_hundred_megabytes(tmp_path: Path) -> None:
    line = b"lorem ipsum dolor sit amet " * 3_700_000
    with open_lines(written(tmp_path / "a.txt", line + b"\nnext\n")) as lines:
        assert [len(read) for read in lines] == [len(line) + 1, 5]


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), max_size=50))
def test_any_text_comes_back(text: str) -> None:
    with LineReader("x", io.BytesIO(text.encode()), text.encode(), "utf-8") as lines:
        assert "".join(lines) == text.removeprefix("\ufeff")


def test_names_are_matched_without_regard_to_case() -> None:
    assert nearest("Revew", ["label", "review"]) == "review"
    assert nearest("TEXT", ["Text", "label"]) == "Text"
    assert nearest("zzz", ["label", "review"]) is None


def test_long_values_are_cut_in_messages() -> None:
    assert shorten("a" * 100, 10) == "'aaaaaaaaa... (102 characters)"
    assert shorten(5) == "5"


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.CSV", ".csv"), ("a.b.csv.gz", ".csv"), ("a", ""), ("a.gz", ""), (".hidden", "")],
)
def test_suffixes(name: str, suffix: str) -> None:
    assert stem_suffix(f"/folder.d/{name}") == suffix


def test_what_may_not_be_looked_at_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"cannot be read \(File name too long\)"):
        require_exists(Path("word " * 60))

    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(InputError, match=r"^/root/x.csv: cannot be read \(Permission denied\)"):
        require_exists(Path("/root/x.csv"))
