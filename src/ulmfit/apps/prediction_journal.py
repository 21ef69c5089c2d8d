"""Answers that outlive their process: a killed `predict` goes on where it was.

Beside the file to be written lies a hidden journal, `.NAME.ulmfit-answers`: a line of JSON that
says what the run is of, then a record for each slice of texts with the digest of the texts and
their probabilities. A resumed run reads its input from the start, takes the answers of the slices
that are in the journal, and computes the others in the same slices: what it writes in the end is
byte for byte what an undisturbed run would have written, in every format.

A record that was cut by the kill, or garbled by a power failure, ends the journal there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ulmfit.errors import InputError, SettingsError, StorageError

Probabilities = NDArray[np.float32]

_FORMAT = 1  # grows when older journals cannot be read any more
_DIGEST_BYTES = 16
_HEAD = struct.Struct(f"<II{_DIGEST_BYTES}s")  # CRC-32 of all that follows, rows, digest of texts
_MOST_ROWS = 1 << 20  # of one slice; more is not a record


def journal_path(target: Path) -> Path:
    """Where the journal of an output file is."""
    target = Path(os.path.realpath(target))
    return target.parent / f".{target.name}.ulmfit-answers"


class Journal:
    """The answers of a run so far; made by `open_journal`.

    Attributes:
        rows: texts that were answered before this process; 0 for a new run.
    """

    def __init__(self, target: Path, file: BinaryIO, width: int) -> None:
        self._target, self._file, self._width = target, file, width
        self._seen = 0
        start = file.tell()
        self.rows = sum(count for count, _, _ in self._records())
        file.truncate()
        file.seek(start)
        self._left = self.rows

    @property
    def recalling(self) -> bool:
        """Whether the next slice is there already."""
        return self._left > 0

    def answers(
        self, texts: Sequence[str], predict: Callable[[Sequence[str]], Probabilities]
    ) -> Probabilities:
        """The probabilities of the next slice, (rows, classes): recalled, or computed and kept.

        Raises:
            InputError: the input is not the one that the stopped run read.
            StorageError: the disk is full.
        """
        digest = _digest(texts)
        if not self.recalling:
            found = np.asarray(predict(texts), dtype=np.float32)
            self._append(digest, found)
        else:
            rows, known, found = next(self._records())
            if known != digest:
                raise self._other_input()
            self._left -= rows
        self._seen += len(texts)
        return found

    def require_all_used(self) -> None:
        """Call at the end of the input.

        Raises:
            InputError: the stopped run had read more of it.
        """
        if self.recalling:
            raise self._other_input()

    def _other_input(self) -> InputError:
        return InputError(
            f"the input is not the one of the stopped run: it differs after row {self._seen:,}",
            expected="the same rows as before, in the same order",
            hint="Run without --resume to start over.",
        )

    def _records(self) -> Iterator[tuple[int, bytes, Probabilities]]:
        """Whole records from here on; afterwards the file stands behind the last of them."""
        while True:
            start = self._file.tell()
            head = self._file.read(_HEAD.size)
            check, rows, digest = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0, b"")
            size = rows * self._width * 4
            data = self._file.read(size) if 0 < rows <= _MOST_ROWS else b""
            if not data or len(data) < size or zlib.crc32(data, zlib.crc32(head[4:])) != check:
                self._file.seek(start)
                return
            yield rows, digest, np.frombuffer(data, dtype="<f4").reshape(rows, self._width)

    def _append(self, digest: bytes, probabilities: Probabilities) -> None:
        data = probabilities.astype("<f4").tobytes()
        tail = _HEAD.pack(0, len(probabilities), digest)[4:]
        check = struct.pack("<I", zlib.crc32(data, zlib.crc32(tail)))
        with _reported(self._target):
            self._file.write(check + tail + data)
            self._file.flush()  # a kill cannot take it back; a power failure can, and is noticed


@contextlib.contextmanager
def open_journal(
    target: Path, facts: Mapping[str, object], width: int, *, resume: bool
) -> Iterator[Journal]:
    """Keep a journal while the block writes `target`; it is deleted when the block ends well.

    Args:
        target: the file that is written.
        facts: what the answers depend on, such as model and options; JSON values.
        width: number of classes.
        resume: go on with the journal that is there, if there is one; else start a new one.

    Raises:
        SettingsError: the journal is of other facts, or another process writes to it.
        StorageError: it cannot be written.
    """
    path = journal_path(target)
    known = {"format": _FORMAT, "classes": width, **facts}
    with _reported(target):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("r+b" if path.exists() else "x+b")
    with file:
        _lock(file, target)
        line = file.readline() if resume else b""
        if line.endswith(b"\n"):
            _require_same(known, line, target)
        else:
            with _reported(target):
                file.seek(0)
                file.truncate()
                file.write(json.dumps(known, ensure_ascii=False).encode() + b"\n")
                file.flush()
        yield Journal(target, file, width)
        path.unlink(missing_ok=True)


def _lock(file: BinaryIO, target: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SettingsError(
            f"another run is writing '{target}' now",
            expected="one run for each output file",
            hint="Wait for it, or choose another name.",
        ) from None
    except OSError:
        return  # a file system without locks


def _require_same(facts: Mapping[str, object], line: bytes, target: Path) -> None:
    try:
        before = json.loads(line)
    except ValueError:
        before = None
    if not isinstance(before, dict):
        raise SettingsError(
            f"the saved state of the stopped run that wrote '{target}' is damaged",
            hint="Run without --resume to start over.",
        )
    for name in (*facts, *before):
        old, new = before.get(name), facts.get(name)
        if old != new:
            raise SettingsError(
                f"the stopped run that wrote '{target}' was a different one: "
                f"{name} is {_shown(new)} now",
                expected=f"{_shown(old)}, as before",
                hint="Run the same command as before, or leave --resume out to start over.",
            )


def _shown(value: object) -> str:
    return "not given" if value is None else str(value)


def _digest(texts: Sequence[str]) -> bytes:
    found = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        found.update(len(data).to_bytes(8, "little"))
        found.update(data)
    return found.digest()


@contextlib.contextmanager
def _reported(target: Path) -> Iterator[None]:
    """Faults are of the file that the user has named; the one beside it is ours."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write '{target}': {(error.strerror or str(error)).lower()}",
            hint="Free some space or choose another place; --resume keeps the rows written so far.",
        ) from error
