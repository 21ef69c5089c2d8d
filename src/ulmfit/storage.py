"""Writing so that a reader sees all of it or nothing, whatever is killed and when.

Every write goes into a hidden sibling of the target, is flushed to the disk and then takes the
target's place in one rename. A sibling that a killed process left behind is recognised by its name
and by its lock, which the system drops with the process; the next write beside it removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from ulmfit.errors import SettingsError, StorageError

Owned = Callable[[Path], frozenset[str] | None]
"""Tells the names in a folder that its writer may delete; None: the folder is somebody else's."""

MARK = ".ulmfit"
"""Empty file in each folder that `atomic_directory` wrote: what may be replaced without asking."""

# A hidden sibling says by its name what may be done with it when its process is gone:
_DRAFT = ".ulmfit-draft"  # being filled or being deleted: remove it
_WHOLE = ".ulmfit-whole"  # a complete folder, the new or the old one: put it back or empty it first
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BAD_DISK = {*_NO_SPACE, errno.EIO, errno.EROFS}
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_SWAP_ATTEMPTS = 10  # each failed attempt means that another process published in between


def atomic_write(path: Path, data: bytes) -> None:
    """Replace a file with `data`: other processes see the old bytes or the new ones.

    Raises:
        SettingsError: `path` is a folder.
        StorageError: the disk is full or the place cannot be written to; the old file is untouched.
    """
    with atomic_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when the block ends well.

    Example::

        with atomic_file(Path("predictions.csv")) as file:
            for line in lines:
                file.write(line)

    Raises:
        SettingsError: `path` is a folder.
        StorageError: the disk is full or the place cannot be written to; the old file is untouched.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with _reported(path), path.open("wb") as device:  # /dev/null, a pipe: nothing to replace
            yield device
        return
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise SettingsError(f"'{path}' is a folder", expected="a file", hint="Choose another name.")
    with _reported(target):
        _prepare(target, _everything)
        temp, descriptor = _new_sibling(target, folder=False)
    try:
        # Closing writes what is still in the buffer, so that it can fail as well.
        with _reported(target, only=_BAD_DISK), open(descriptor, "wb") as file:
            yield file
            with _reported(target):
                file.flush()
                os.fsync(descriptor)
                _copy_mode(target, temp)
                os.replace(temp, target)
                _flush(target.parent)
    finally:
        temp.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: Path, *, owned: Owned | None = None) -> Iterator[Path]:
    """Fill a new folder that takes the place of `path` only when the block ends well.

    Args:
        path: the folder to write. An existing one is replaced as a whole when it is empty or was
            written by this function; any other is refused before the block starts.
        owned: for folders that hold other people's files too (a model folder): the names that
            belong to the writer. The other entries move over into the new folder.

    Yields:
        The folder to write into.

    Raises:
        SettingsError: `path` is a file or a folder that is not ours to replace.
        StorageError: the disk is full or the place cannot be written to; the old folder is
            untouched.
    """
    target = Path(os.path.realpath(path))
    may_delete = owned or _marked
    with _reported(target):
        refuse_foreign(target, may_delete)
        _prepare(target, may_delete)
        temp, descriptor = _new_sibling(target, folder=True)
    try:
        with _reported(target, only=_BAD_DISK):
            yield temp
        with _reported(target):
            if owned is None:
                (temp / MARK).touch()
            _flush_tree(temp)
            _copy_mode(target, temp)
            temp = temp.rename(_sibling(target, _WHOLE))
            old = _publish(temp, target, may_delete)
            _flush(target.parent)
        if old is not None:
            _retire(old, target, may_delete)
    finally:
        # Under the same name may stand the old folder by now, with other people's files.
        if _is_open(temp, descriptor):
            shutil.rmtree(temp, ignore_errors=True)
        os.close(descriptor)


@contextlib.contextmanager
def work_directory(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path` for what its writing needs; gone when the block ends.

    Raises:
        StorageError: the disk is full or the place cannot be written to.
    """
    target = Path(os.path.realpath(path))
    with _reported(target):
        _prepare(target, _everything)
        temp, descriptor = _new_sibling(target, folder=True)
    try:
        yield temp
    finally:
        shutil.rmtree(temp, ignore_errors=True)
        os.close(descriptor)


def refuse_foreign(target: Path, owned: Owned) -> None:
    """Check that a folder may be replaced.

    Raises:
        SettingsError: it is a file, or holds things that its writer does not own.
    """
    if target.is_dir():
        entries = sorted(os.listdir(target))
        if entries and owned(target) is None:
            shown = ", ".join(entries[:3]) + (", ..." if len(entries) > 3 else "")
            raise SettingsError(
                f"folder '{target}' holds other files ({shown})",
                expected="a new or empty folder, or one that ulmfit wrote itself",
                hint="Choose another folder; nothing was changed.",
            )
    elif os.path.lexists(target):
        raise SettingsError(
            f"'{target}' is a file", expected="a folder", hint="Choose another name."
        )


def refuse_overwriting(target: Path, read: Iterable[Path]) -> None:
    """Check that a result does not take the place of what it is made from.

    Raises:
        SettingsError: it would.
    """
    if target.exists() and any(path.exists() and path.samefile(target) for path in read):
        other = "another folder" if target.is_dir() else "another name"
        raise SettingsError(f"'{target}' is read, and cannot be written", expected=other)


def recover(path: Path, owned: Owned) -> None:
    """Put a folder back whose replacement was cut off between two renames; tidy up otherwise.

    Only file systems that cannot exchange two folders in one step ever need it.
    """
    _clean_leftovers(Path(os.path.realpath(path)), owned)


def _everything(folder: Path) -> frozenset[str]:
    return frozenset(os.listdir(folder))


def _marked(folder: Path) -> frozenset[str] | None:
    return _everything(folder) if (folder / MARK).is_file() else None


def _prepare(target: Path, owned: Owned) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    _clean_leftovers(target, owned)


def _sibling(target: Path, suffix: str) -> Path:
    return target.parent / f".{target.name}.{secrets.token_hex(4)}{suffix}"


def _new_sibling(target: Path, *, folder: bool) -> tuple[Path, int]:
    """Create an empty hidden sibling, locked for as long as the returned descriptor is open."""
    while True:
        temp = _sibling(target, _DRAFT)
        descriptor = _create_folder(temp) if folder else os.open(temp, _CREATE, 0o666)
        if descriptor is not None:
            _lock(descriptor, wait=True)
            if _is_open(temp, descriptor):
                return temp, descriptor
            os.close(descriptor)
        # A cleaner came by between creating and locking, and has deleted it again: once more.


def _create_folder(path: Path) -> int | None:
    path.mkdir()
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY)
    return None


def _is_open(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _copy_mode(source: Path, target: Path) -> None:
    """A replaced file stays as private as it was."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copymode(source, target)


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Lock a descriptor; False when another process holds it or the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _clean_leftovers(target: Path, owned: Owned) -> None:
    """Remove what killed processes left beside `target`, or put it back where it is missing."""
    # A draft is worth nothing whatever it was for; a whole folder is its own target's business.
    name = re.escape(target.name)
    pattern = re.compile(rf"\..+\.[0-9a-f]{{8}}{_DRAFT}|\.{name}\.[0-9a-f]{{8}}{_WHOLE}")
    # It can wait: what cannot be read or deleted here is somebody else's, or is just going away.
    with contextlib.suppress(OSError):
        found = [entry for entry in target.parent.iterdir() if pattern.fullmatch(entry.name)]
        for temp in sorted(found, key=lambda entry: entry.lstat().st_mtime, reverse=True):
            with contextlib.suppress(OSError):
                _dispose_if_abandoned(temp, target, owned)


def _dispose_if_abandoned(temp: Path, target: Path, owned: Owned) -> None:
    descriptor = os.open(temp, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if _lock(descriptor, wait=False):
            _dispose(temp, target, owned)
    finally:
        os.close(descriptor)


def _dispose(temp: Path, target: Path, owned: Owned) -> None:
    if not temp.is_dir():
        temp.unlink()
    elif temp.name.endswith(_DRAFT):
        shutil.rmtree(temp, ignore_errors=True)
    elif not os.path.lexists(target):
        os.rename(temp, target)
    else:
        _retire(temp, target, owned)


def _retire(old: Path, target: Path, owned: Owned) -> None:
    """Delete a replaced folder, after moving what is not its writer's into the new one.

    Whatever cannot be moved stays in the hidden folder: the next write to the target tries again.
    """
    mine = owned(old) or frozenset()
    with contextlib.suppress(OSError):
        for name in os.listdir(old):
            if name not in mine and not os.path.lexists(target / name):
                os.rename(old / name, target / name)
        shutil.rmtree(old.rename(_sibling(target, _DRAFT)), ignore_errors=True)


def _publish(temp: Path, target: Path, owned: Owned) -> Path | None:
    """Give a finished folder its name; returns the name of the folder it replaced, if any."""
    for _ in range(_SWAP_ATTEMPTS):
        try:
            os.rename(temp, target)  # the target is absent or empty
            return None
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        refuse_foreign(target, owned)
        with contextlib.suppress(FileNotFoundError):  # the target went away: rename it is
            return temp if _exchange(temp, target) else _replace_in_two_steps(temp, target)
    raise OSError(errno.EBUSY, "other processes keep writing to it")


def _exchange(first: Path, second: Path) -> bool:
    """Let two folders swap their names in one step; False where the system cannot."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    here, swap = -100, 2  # AT_FDCWD on Linux; RENAME_EXCHANGE there, RENAME_SWAP on macOS
    names = os.fsencode(first), os.fsencode(second)
    if sys.platform == "linux" and hasattr(libc, "renameat2"):
        code = libc.renameat2(here, names[0], here, names[1], swap)
    elif sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        code = libc.renamex_np(names[0], names[1], swap)
    else:
        return False
    if code == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(second))


def _replace_in_two_steps(temp: Path, target: Path) -> Path:
    """Move the old folder away, the new one in; `recover` mends it when killed in between."""
    old = target.rename(_sibling(target, _WHOLE))
    try:
        os.rename(temp, target)
    except BaseException:
        os.rename(old, target)
        raise
    return old


def _flush_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            _flush(Path(parent, name))
        _flush(Path(parent))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _reported(target: Path, *, only: set[int] | None = None) -> Iterator[None]:
    """Turn errors of the operating system into a StorageError that names the target."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        number = _errno_of(error)
        if number is None or (only is not None and number not in only):
            raise
        hint = "Choose another place or change its permissions."
        if number in _NO_SPACE:
            hint = "Free some space or choose another disk; nothing was left half-written."
        problem = f"cannot write '{target}': {os.strerror(number).lower()}"
        raise StorageError(problem, hint=hint) from error


def _errno_of(error: Exception) -> int | None:
    """The system's error number, also from the Rust libraries, which only print it."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None
