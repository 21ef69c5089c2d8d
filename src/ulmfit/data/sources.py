"""Bytes to lines: files, gzip and stdin; the encoding is found, or refused with a clear message."""

from __future__ import annotations

import codecs
import difflib
import gzip
import io
import os
import sys
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from ulmfit.data.unpacking import LONGEST_LINE, GzipText
from ulmfit.errors import InputError

STDIN = "-"
SNIFF_BYTES = 1 << 20  # how much of a file is looked at before its format is settled
_BOMS = (  # UTF-32 first: its little-endian mark starts with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SIGNATURES = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF document"),
    (b"\x7fELF", "a program (ELF)"),
    (b"MZ\x90", "a program (Windows)"),
    (b"PK\x03\x04", "a ZIP archive, or an Excel or Word document"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word document"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"\x1f\x8b", "a gzip file"),
)
_GZIP_MAGIC = b"\x1f\x8b"
# Control characters that text has no use for; tab, line feed, form feed, return, escape stay out.
_CONTROLS = bytes(sorted(set(range(1, 32)) - {9, 10, 12, 13, 27}))
_TEXT_HINT = "Convert it to CSV, TSV, JSONL, Parquet or plain text."


def shorten(value: object, limit: int = 60) -> str:
    """Quote ``value`` for a message, cut to ``limit`` characters."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def nearest(name: str, names: Iterator[str] | list[str]) -> str | None:
    """The one of ``names`` that ``name`` is most likely a slip of, if any is near."""
    known = {other.casefold(): other for other in names}
    found = difflib.get_close_matches(name.casefold(), list(known), n=1, cutoff=0.6)
    return known[found[0]] if found else None


def require_exists(path: Path) -> Path:
    """``path`` itself.

    Raises:
        InputError: nothing is there, or nobody may look; offers the nearest name in the same
            folder.
    """
    with reading(str(path)):
        if path.exists():
            return path
        folder = path.parent
        if not folder.is_dir():
            raise InputError(f"{path}: no such file, nor a folder {folder}")
        other = nearest(path.name, [entry.name for entry in folder.iterdir()])
    hint = f"Did you mean {folder / other}?" if other else "Check the name and the folder."
    raise InputError(f"{path}: no such file or folder", hint=hint)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn the errors of reading and unpacking ``name`` into an InputError."""
    try:
        yield
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(
            f"{name}: damaged or cut gzip data ({error})",
            hint="Test it with `gzip -t`, and copy or download it again.",
        ) from error
    except tarfile.TarError as error:
        raise InputError(
            f"{name}: damaged or cut tar archive ({error})", hint="Download it again."
        ) from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror or error})") from error


class _Prefixed(io.RawIOBase):
    """The bytes already looked at, then the rest of the stream; closes the streams it owns."""

    def __init__(self, head: bytes, rest: BinaryIO, owned: Sequence[BinaryIO]) -> None:
        self._head = memoryview(head)
        self._rest = rest
        self._owned = owned

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self._head:
            count = min(len(buffer), len(self._head))
            buffer[:count] = self._head[:count]
            self._head = self._head[count:]
            return count
        data = self._rest.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        for stream in self._owned:
            stream.close()
        super().close()


def _head(stream: BinaryIO, size: int) -> bytes:
    """Up to ``size`` bytes; a pipe gives them in pieces."""
    pieces: list[bytes] = []
    while size > 0 and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def with_head(stream: BinaryIO, *below: BinaryIO) -> tuple[BinaryIO, bytes]:
    """``stream`` from its start, and its first bytes (at most ``SNIFF_BYTES``).

    Closing the first closes ``stream`` and those ``below`` it.
    """
    head = _head(stream, SNIFF_BYTES)
    return io.BufferedReader(_Prefixed(head, stream, (stream, *below)), SNIFF_BYTES), head


def open_bytes(source: str | Path) -> tuple[BinaryIO, bytes]:
    """Open a file or stdin, gzip unpacked whatever its name.

    Returns:
        The stream from its start, and its first bytes (at most ``SNIFF_BYTES``).

    Raises:
        InputError: missing, not a file, not readable, or not gzip though called so.
    """
    name = display_name(source)
    with reading(name):
        from_stdin = str(source) == STDIN
        raw: BinaryIO = sys.stdin.buffer if from_stdin else _open_file(Path(source))
        try:
            magic = _head(raw, 2)
            owned = () if from_stdin else (raw,)
            whole = io.BufferedReader(_Prefixed(magic, raw, owned), SNIFF_BYTES)
            if magic == _GZIP_MAGIC:
                return with_head(cast(BinaryIO, GzipText(name, whole)), whole)
            if name.endswith(".gz") and magic:
                raise InputError(
                    f"{name}: is called .gz but is not gzip",
                    hint="Remove the .gz from its name, or download it again.",
                )
            return with_head(whole)
        except BaseException:
            if not from_stdin:
                raw.close()
            raise


def _open_file(path: Path) -> BinaryIO:
    require_exists(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder", expected="a file")
    return cast(BinaryIO, path.open("rb", buffering=0))


def is_read_once(source: str | Path) -> bool:
    """Whether a second opening would miss what the first one read: stdin, a pipe, a terminal."""
    path = Path(source)
    return str(source) == STDIN or (path.exists() and not path.is_file() and not path.is_dir())


def display_name(source: str | Path) -> str:
    """What messages call a source."""
    return "stdin" if str(source) == STDIN else str(source)


def find_encoding(name: str, head: bytes, encoding: str | None) -> str:
    """The codec for a text file that starts with ``head``.

    A byte order mark decides; else ``encoding`` as asked for; else UTF-8.

    Raises:
        InputError: the bytes are not text at all, or ``encoding`` is not a codec.
    """
    marked = next((codec for mark, codec in _BOMS if head.startswith(mark)), None)
    if encoding is not None:
        try:
            "".encode(encoding)  # refuses hex and rot13 too, which are codecs of other things
            found = codecs.lookup(encoding).name
        except (LookupError, ValueError):  # a name with a zero in it is the latter
            raise InputError(
                f"encoding {encoding!r} is not known",
                expected="a codec name such as utf-8, cp1252, latin-1, cp949 or shift_jis",
            ) from None
        return marked or ("utf-8-sig" if found == "utf-8" else found)
    if marked is not None:
        return marked
    _refuse_binary(name, head)
    return "utf-8"


def _refuse_binary(name: str, head: bytes) -> None:
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
            raise InputError(f"{name}: is {what}", expected="text", hint=_TEXT_HINT)
    zeros = head.count(0)
    if zeros and _looks_like_utf16(head, zeros):
        raise InputError(
            f"{name}: looks like UTF-16 without a byte order mark",
            hint="Pass `--encoding utf-16-le` (or utf-16-be), or save it as UTF-8.",
        )
    if zeros and not _are_stray(head, zeros):
        place = head.index(0)
        raise InputError(
            f"{name}: is a binary file (a zero byte at byte {place}, "
            f"in line {head.count(10, 0, place) + 1})",
            expected="text",
            hint=_TEXT_HINT,
        )
    if len(head) - len(head.translate(None, _CONTROLS)) > len(head) // 50:
        raise InputError(
            f"{name}: is a binary file (many control characters)", expected="text", hint=_TEXT_HINT
        )


def _are_stray(head: bytes, zeros: int) -> bool:
    """Few zero bytes, each alone in UTF-8 text: U+0000, a character that is as good as others.

    Such a character comes from fields of fixed width or a faulty export. Zeros in a row are
    another thing: a binary format, or what a crash has left of a file.
    """
    if b"\0\0" in head or zeros > len(head) // 50 + 1:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _looks_like_utf16(head: bytes, zeros: int) -> bool:
    """Nearly every second byte is zero, all on one side: Latin text in UTF-16."""
    even = head[0::2].count(0)
    return zeros > len(head) // 4 and max(even, zeros - even) > 0.95 * zeros


def read_text(path: Path, encoding: str | None = None) -> str:
    """The whole of one text file, such as one document of a folder.

    Raises:
        InputError: not text, not in its encoding, or not readable.
    """
    with reading(str(path)):
        data = path.read_bytes()
    with LineReader(str(path), io.BytesIO(data), data[:SNIFF_BYTES], encoding) as lines:
        return "".join(lines)


def open_lines(source: str | Path, encoding: str | None = None) -> LineReader:
    """The lines of a file or of stdin; .gz is unpacked.

    Raises:
        InputError: missing, not readable, not text, or ``encoding`` is not a codec.
    """
    stream, head = open_bytes(source)
    try:
        return LineReader(display_name(source), stream, head, encoding)
    except BaseException:
        stream.close()
        raise


class _Counted(io.BufferedIOBase):
    """Hands bytes on and counts them, so that a fault can be named by its place."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data

    def close(self) -> None:
        self._stream.close()
        super().close()


class LineReader:
    """The lines of a text file, ends kept, counted, with faults named by line.

    Attributes:
        name: the file as the user called it.
        line: number of the last line given out, from 1.
        head: the first bytes of the file, at most ``SNIFF_BYTES``.
        encoding: the codec in use.
    """

    def __init__(self, name: str, stream: BinaryIO, head: bytes, encoding: str | None) -> None:
        self.name = name
        self.line = 0
        self.head = head
        self.encoding = find_encoding(name, head, encoding)
        # newline="" keeps \r\n inside quoted CSV fields as it was
        self._bytes = _Counted(stream)
        bytes_ = cast(BinaryIO, self._bytes)
        self._text = io.TextIOWrapper(bytes_, encoding=self.encoding, newline="")

    def __iter__(self) -> Iterator[str]:
        with reading(self.name):
            try:
                while line := self._text.readline(LONGEST_LINE):
                    self.line += 1
                    if len(line) == LONGEST_LINE:
                        raise InputError(
                            f"{self.name}: line {self.line} has more than {LONGEST_LINE:,} "
                            "characters",
                            expected="texts that are shorter, one a line",
                        )
                    yield line
            except UnicodeDecodeError as error:
                raise self._not_decodable(error) from error

    def _not_decodable(self, error: UnicodeDecodeError) -> InputError:
        chunk, start = error.object, error.start
        line = self.line + 1 + chunk[:start].count(b"\n")
        place = self._bytes.count - len(chunk) + start + 1
        before = chunk[max(chunk.rfind(b"\n", 0, start) + 1, start - 20) : start]
        after = f" after {before.decode(self.encoding, 'replace')!r}" if before else ""
        return InputError(
            f"{self.name}: line {line} (byte {place} of the file): 0x{chunk[start]:02x}{after} "
            f"is not {self.encoding}",
            expected="text in UTF-8, or the encoding to be named",
            hint=(
                "Pass `--encoding cp1252` (Western European Windows) or `--encoding cp949` "
                "(Korean) or what it is, or convert it with `iconv -f cp1252 -t utf-8`."
            ),
        )

    @property
    def has_mark(self) -> bool:
        """Whether the file starts with a byte order mark."""
        return any(self.head.startswith(mark) for mark, _ in _BOMS)

    @property
    def sample(self) -> str:
        """The first characters, for looking at the format: whole lines where there are any."""
        decoder = codecs.getincrementaldecoder(self.encoding)("replace")
        text = decoder.decode(self.head)
        if len(self.head) < SNIFF_BYTES:
            return text + decoder.decode(b"", final=True)
        cut = text.rfind("\n") + 1
        return text[:cut] if cut else text

    def close(self) -> None:
        """Close the file (stdin stays open)."""
        self._text.close()

    def __enter__(self) -> LineReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def stem_suffix(source: str | Path) -> str:
    """The suffix in lower case, that under ``.gz`` where there is one: ``a.CSV.gz`` -> ``.csv``."""
    name = os.path.basename(str(source)).lower().removesuffix(".gz")
    return os.path.splitext(name)[1]
