"""A model is a folder of plain files; this module writes and reads it as one thing.

::

    config.json          settings, labels and, under "format", the size and SHA-256 of each file
    model.safetensors    weights
    tokenizer.json       from text to token ids
    README.md            model card; the one file meant for people to edit, so it is not checked
    metrics.json         what it scored
    log.jsonl            how training went
    report.html          how good it is, to be read in a browser; not checked either
    backward/            the same again for the other direction, when there is one

A folder is written next to its place and then takes it in one step. A folder that is read is read
as a whole and checked before anything is made of it: what is missing, cut or altered is named.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from ulmfit import storage
from ulmfit.errors import ModelFolderError, StorageError
from ulmfit.storage import Owned, atomic_directory, atomic_file, atomic_write

__all__ = [
    "BACKWARD",
    "CONFIG",
    "FORMAT_VERSION",
    "LOG",
    "METRICS",
    "README",
    "REPORT",
    "TOKENIZER",
    "WEIGHTS",
    "FolderContents",
    "atomic_directory",
    "atomic_file",
    "atomic_write",
    "check_target",
    "model_files",
    "read_config",
    "read_folder",
    "write_folder",
]

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
README, METRICS, LOG, NGRAMS = "README.md", "metrics.json", "log.jsonl", "ngrams.safetensors"
REPORT = "report.html"  # of one training: it goes when the model is replaced
BACKWARD = "backward"

FORMAT_VERSION = 1
"""Grows by one when a folder can no longer be read by older code."""

_FORMAT = "format"  # the part of config.json that belongs to this module
_CHUNK = 1 << 20  # bytes
_READ_ATTEMPTS = 5  # each failed one means that the folder was replaced while it was being read
_RETRY_PAUSE = 0.02  # seconds
_REMEDY = "Copy the folder again from where it came from, or train again."


class _Fault(Exception):
    """What is wrong with one file; `_read` collects them."""


@dataclass(frozen=True)
class FolderContents:
    """The checked contents of a model folder, held in memory: a later change cannot reach them.

    Attributes:
        path: where they were read.
        config: what the writer put into ``config.json``.
        files: contents by name, without ``config.json`` and ``README.md``.
    """

    path: Path
    config: dict[str, Any]
    files: Mapping[str, bytes]

    @property
    def backward(self) -> FolderContents | None:
        """The model of the other direction, or None when there is only one."""
        prefix = f"{BACKWARD}/"
        inner = {k.removeprefix(prefix): v for k, v in self.files.items() if k.startswith(prefix)}
        if CONFIG not in inner:
            return None
        config, _ = _parse_config(inner.pop(CONFIG), self.path / BACKWARD)
        return FolderContents(self.path / BACKWARD, config, inner)

    def require(self, name: str) -> bytes:
        """The contents of one file.

        Raises:
            ModelFolderError: the folder was written without it.
        """
        if name not in self.files:
            raise ModelFolderError(
                f"model folder '{self.path}' has no {name}", expected=", ".join(sorted(self.files))
            )
        return self.files[name]


def write_folder(
    path: Path,
    files: Mapping[str, bytes | Path],
    *,
    carry: Collection[str] = (),
    needed: Collection[str] = (CONFIG, WEIGHTS, TOKENIZER),
) -> None:
    """Write a model folder, all of it or nothing, and then put it in an older one's place.

    What is in the older one and not part of the model (somebody's notes) moves over.

    Args:
        path: the folder.
        files: contents, or the file to copy, by name. ``config.json`` (an object without the key
            "format", which is added here) and the other `needed` ones must be there; names may lie
            in a subfolder, and ``backward/config.json`` makes a model folder of ``backward/`` too.
        carry: names that a run keeps in the folder before there is a model, such as its
            checkpoints: they are not somebody else's files, and move over as well.
        needed: files without which it is no such folder.

    Raises:
        SettingsError: `path` is a file, or a folder of other things.
        ModelFolderError: `files` is no complete model, or one of its names leaves the folder.
        StorageError: no space, or no right to write; the old folder is untouched.
    """
    _check_names(files, needed)
    with atomic_directory(path, owned=model_files(carry)) as temp:
        records = {
            name: _write_file(temp / name, content)
            for name, content in files.items()
            if PurePosixPath(name).name != CONFIG
        }
        # From the inside out: the outer config.json vouches for the inner one.
        configs = [name for name in files if PurePosixPath(name).name == CONFIG]
        for name in sorted(configs, key=lambda name: -name.count("/")):
            prefix = name.removesuffix(CONFIG)
            inner = {k.removeprefix(prefix): v for k, v in records.items() if k.startswith(prefix)}
            sealed = _seal(_bytes_of(files[name]), inner, name)
            records[name] = _write_file(temp / name, sealed)


def read_folder(path: Path) -> FolderContents:
    """Read and check a whole model folder.

    Safe beside a process that replaces the folder: the result is all old or all new.

    Raises:
        ModelFolderError: no model folder is there, or files are missing, cut, altered, or from a
            newer version of the format; all faults are named at once.
    """
    path = Path(path)
    if not path.exists():
        storage.recover(path, model_files(()))
    for attempt in range(1, _READ_ATTEMPTS + 1):
        before = _identity(path)
        try:
            return _read(path)
        except ModelFolderError:
            if attempt == _READ_ATTEMPTS or _identity(path) == before:
                raise
            time.sleep(_RETRY_PAUSE)
    raise AssertionError("the last attempt returns or raises")


def read_config(path: Path) -> dict[str, Any]:
    """Read the settings of a model folder alone, checked, without its weights.

    Raises:
        ModelFolderError: as `read_folder`, for ``config.json``.
    """
    return _read_config(Path(path))[0]


def check_target(path: Path, *, carry: Collection[str] = ()) -> None:
    """Find out before a long run whether its model can be written in the end.

    Raises:
        SettingsError: `path` is a file, or a folder of other things.
        StorageError: nothing can be written there.
    """
    target = Path(os.path.realpath(path))
    storage.refuse_foreign(target, model_files(carry))
    parent = next(folder for folder in target.parents if os.path.lexists(folder))
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise StorageError(
            f"cannot write '{path}': {_reason(error)}",
            hint="Choose another place or change its permissions.",
        ) from error


def model_files(carry: Collection[str]) -> Owned:
    """Which names in a folder are the model's; None for a folder that is no model's."""

    def owned(folder: Path) -> frozenset[str] | None:
        try:
            _, records = _read_config(folder)
        except ModelFolderError:
            return frozenset() if set(os.listdir(folder)) <= set(carry) else None
        return frozenset({CONFIG, README, REPORT, *(name.split("/")[0] for name in records)})

    return owned


def _check_names(names: Collection[str], needed: Collection[str]) -> None:
    for name in names:
        if not _is_safe(name):
            raise ModelFolderError(
                f"file name '{name}' leads out of the model folder",
                expected="a relative path without '..'",
            )
    missing = [name for name in needed if name not in names]
    if missing:
        raise ModelFolderError(
            f"a model folder needs {', '.join(missing)}", expected=", ".join(sorted(names))
        )


def _is_safe(name: str) -> bool:
    """Whether a name stays inside the folder on every system."""
    parts = name.split("/")
    return not any(c in name for c in "\\:\0") and all(
        part.strip(". ") and not part.startswith(".") for part in parts
    )


def _bytes_of(content: bytes | Path) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def _write_file(path: Path, content: bytes | Path) -> dict[str, Any]:
    """Write or copy one file; returns its record for ``config.json``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        for chunk in _chunks(content):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _seal(config: bytes, records: Mapping[str, dict[str, Any]], name: str) -> bytes:
    """Add the record of the files and the digest over the whole to a ``config.json``."""
    try:
        settings = json.loads(config, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ModelFolderError(f"{name} is not JSON: {error}") from error
    if not isinstance(settings, dict) or _FORMAT in settings:
        raise ModelFolderError(
            f"{name} cannot be used", expected=f"a JSON object without the key '{_FORMAT}'"
        )
    checked = {key: records[key] for key in sorted(records) if PurePosixPath(key).name != README}
    settings[_FORMAT] = {
        "version": FORMAT_VERSION,
        "written_by": f"ulmfit {version('ulmfit')}",
        "files": checked,
    }
    settings[_FORMAT]["digest"] = _digest(settings)
    text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "surrogatepass")  # as json.loads decodes


def _refuse_constant(name: str) -> None:
    raise ValueError(f"the number {name} is not part of it")


def _digest(settings: Mapping[str, Any]) -> str:
    """SHA-256 of a ``config.json`` without its own digest, whatever its layout."""
    header = {key: value for key, value in settings[_FORMAT].items() if key != "digest"}
    text = json.dumps({**settings, _FORMAT: header}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _identity(path: Path) -> tuple[int, ...] | None:
    """Changes when another folder takes the place of this one."""
    with contextlib.suppress(OSError):
        found = path.stat()
        return (found.st_dev, found.st_ino, found.st_ctime_ns)
    return None


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    try:
        if not path.is_dir():
            what = f"model folder '{path}' {'is a file' if path.exists() else 'does not exist'}"
            raise ModelFolderError(what, expected=f"a folder with {CONFIG}")
        with _open_regular(path / CONFIG) as file:
            return _parse_config(file.read(), path)
    except FileNotFoundError:
        raise ModelFolderError(
            f"'{path}' is not a model folder", expected=f"a folder with {CONFIG}"
        ) from None
    except OSError as error:
        raise ModelFolderError(f"cannot read '{path / CONFIG}': {_reason(error)}") from error


def _parse_config(content: bytes, path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Split a ``config.json`` into the writer's settings and the records of the files."""
    broken = f"model folder '{path}' is broken: {CONFIG}"
    try:
        settings = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(f"{broken} is cut or is not JSON ({error})", hint=_REMEDY) from error
    header = settings.get(_FORMAT) if isinstance(settings, dict) else None
    if not isinstance(header, dict) or not isinstance(header.get("version"), int):
        raise ModelFolderError(
            f"'{path}' is not a model folder of ulmfit",
            expected=f"{CONFIG} with the key '{_FORMAT}'",
        )
    if header["version"] > FORMAT_VERSION:
        raise ModelFolderError(
            f"model folder '{path}' has format version {header['version']} "
            f"(written by {header.get('written_by', 'a newer ulmfit')})",
            expected=f"version {FORMAT_VERSION} or older",
            hint="Upgrade ulmfit.",
        )
    if header.get("digest") != _digest(settings):
        raise ModelFolderError(f"{broken} was altered (its SHA-256 differs)", hint=_REMEDY)
    if not _are_records(header.get("files")):
        raise ModelFolderError(f"{broken} has no usable list of files", hint=_REMEDY)
    del settings[_FORMAT]
    return settings, header["files"]


def _are_records(files: object) -> bool:
    return isinstance(files, dict) and all(
        isinstance(record, dict)
        and isinstance(record.get("bytes"), int)
        and isinstance(record.get("sha256"), str)
        for record in files.values()
    )


def _read(path: Path) -> FolderContents:
    config, records = _read_config(path)
    files: dict[str, bytes] = {}
    faults = []
    for name, record in records.items():
        try:
            files[name] = _read_file(path, name, record)
        except _Fault as fault:
            faults.append(str(fault))
    if faults:
        problem = f"model folder '{path}' is broken: {'; '.join(faults)}"
        raise ModelFolderError(problem, hint=_REMEDY)
    return FolderContents(path, config, files)


def _read_file(folder: Path, name: str, record: Mapping[str, Any]) -> bytes:
    if not _is_safe(name):
        raise _Fault(f"{CONFIG} names '{name}', which leads out of the folder")
    try:
        with _open_regular(folder / name) as file:
            size = os.fstat(file.fileno()).st_size
            if size < record["bytes"]:
                raise _Fault(f"{name} is cut ({size:,} of {record['bytes']:,} bytes)")
            content = file.read(record["bytes"] + 1)
    except FileNotFoundError:
        raise _Fault(f"{name} is missing") from None
    except OSError as error:
        raise _Fault(f"{name} cannot be read ({_reason(error)})") from error
    if hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise _Fault(f"{name} was altered (its SHA-256 differs)")
    return content


def _open_regular(path: Path) -> BinaryIO:
    """Open a file, never a pipe or a device: reading those might not end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(None, "it is not a regular file")
    return path.open("rb")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
