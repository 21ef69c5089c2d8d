"""How much a compressed file may grow: a bomb is refused before it fills memory or days."""

from __future__ import annotations

import gzip
import io
from typing import BinaryIO, cast

from ulmfit.errors import InputError

# Text packs to a third or a tenth, the most repetitive log to a hundredth; a bomb to a thousandth.
MOST_GROWTH = 250
# Small files may be as repetitive as they like: this much costs nobody anything.
SMALL = 64 << 20  # bytes
# Characters of one line. The longest book is a fiftieth of it.
LONGEST_LINE = 1 << 28


def refuse_bomb(name: str, unpacked: int, packed: int) -> None:
    """Check how far a file has grown.

    Args:
        name: the file as the user called it.
        unpacked: bytes that came out so far.
        packed: bytes that they came from.

    Raises:
        InputError: more than `MOST_GROWTH` times as many, and more than `SMALL`.
    """
    if unpacked > SMALL and unpacked > MOST_GROWTH * packed:
        raise InputError(
            f"{name}: {unpacked:,} bytes are packed into {packed:,}",
            expected=f"compressed text, which grows less than {MOST_GROWTH}-fold",
            hint="This may be a decompression bomb. Unpack it yourself if it is what you want.",
        )


class GzipText(io.RawIOBase):
    """The unpacked bytes of a gzip stream, as far as they are plausible.

    Args:
        name: for messages.
        packed: the compressed stream; stays open.
    """

    def __init__(self, name: str, packed: BinaryIO) -> None:
        self._name = name
        self._packed = _Counting(packed)
        self._gzip = gzip.GzipFile(fileobj=cast(BinaryIO, self._packed))
        self._unpacked = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Unpack into a buffer; the number of bytes, 0 at the end."""
        data = self._gzip.read(len(buffer))
        self._unpacked += len(data)
        refuse_bomb(self._name, self._unpacked, self._packed.count)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Forget the stream."""
        self._gzip.close()
        super().close()


class _Counting(io.RawIOBase):
    """Hands bytes on and counts them."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data
