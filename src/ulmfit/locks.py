"""One process at a time in a folder. The system drops a lock with its process: none gets stale."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ulmfit.errors import SettingsError, StorageError

_HELD = {errno.EACCES, errno.EAGAIN}
_OPEN = os.O_RDWR | os.O_CREAT


@contextlib.contextmanager
def only_run(folder: Path, name: str, *, option: str = "--out") -> Iterator[None]:
    """Keep other processes out of a folder for the length of the block.

    Where the file system has no locks, nobody is kept out.

    Args:
        folder: made if it is not there.
        name: of the lock file in it, which is removed at the end.
        option: that names another folder, for the message.

    Raises:
        SettingsError: another process is at work there; names it.
        StorageError: the lock file cannot be written.
    """
    path = folder / name
    try:
        descriptor = _acquired(path, option)
    except OSError as error:
        raise _closed(path, error) from error
    try:
        yield
    finally:
        # Removed while it is held: whoever opened it before finds out that it is gone.
        with contextlib.suppress(OSError):
            if _is_at(path, descriptor):
                path.unlink()
        os.close(descriptor)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process is in such a block for the same folder, which is made if needed.

    Where the file system has no locks, nobody waits.

    Raises:
        StorageError: the folder cannot be made or opened.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise _closed(folder, error) from error
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _closed(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write '{path}': {(error.strerror or str(error)).lower()}",
        hint="Choose another place or change its permissions.",
    )


def _acquired(path: Path, option: str) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, _OPEN, 0o666)
        try:
            _lock(path, descriptor, option)
        except BaseException:
            os.close(descriptor)
            raise
        if _is_at(path, descriptor):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            return descriptor
        os.close(descriptor)  # its last holder has removed it: once more


def _lock(path: Path, descriptor: int, option: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _HELD:
            return  # no locks on this file system
        holder = os.read(descriptor, 20).decode("ascii", "replace") or "just started"
        raise SettingsError(
            f"another run (process {holder}) is at work in '{path.parent}'",
            expected="one run at a time in a folder",
            hint=f"Wait until it is done, stop it, or choose another folder with {option}.",
        ) from None


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
