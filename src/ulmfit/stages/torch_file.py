"""Tensors in files of `torch.save`, old format and new, read without running anything in them."""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from torch import Tensor

from ulmfit.data.pickled import Name, Names, inert, ordered_dict, read_pickle
from ulmfit.data.sources import require_exists
from ulmfit.errors import InputError

_ZIP: Final = b"PK\x03\x04"
# torch/serialization.py: what a file of the old format starts with.
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
MAX_PICKLE_BYTES: Final = 1 << 26  # of the part that is no raw data; a real one has some kilobytes

# What a damaged file makes zipfile, struct and torch raise.
_DAMAGED: Final = (
    *(OSError, zipfile.BadZipFile, struct.error, EOFError, ValueError, TypeError),
    *(LookupError, OverflowError, RuntimeError),
)

_DTYPES: Final = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}


@dataclass(frozen=True)
class _Storage:
    dtype: torch.dtype
    key: str
    n_elements: int


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in a file; `TorchFile.tensor` fetches it.

    Attributes:
        storage: the row of numbers it is part of.
        offset: its first element there.
        shape: sizes.
        strides: elements from one index to the next.
    """

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        """Of a copy of it."""
        return math.prod(self.shape) * self.storage.dtype.itemsize


@dataclass(frozen=True)
class TorchFile:
    """What a file holds.

    Attributes:
        name: as messages call it.
        value: dictionaries, lists, numbers and text, with `StoredTensor` in place of tensors.
        raw: gives the bytes of a storage.
    """

    name: str
    value: Any
    raw: Callable[[_Storage], bytes]

    def tensor(self, stored: StoredTensor) -> Tensor:
        """A copy of one tensor.

        Raises:
            InputError: it reaches beyond its storage, or the file is cut.
        """
        with _told(self.name):
            return self._tensor(stored)

    def _tensor(self, stored: StoredTensor) -> Tensor:
        storage, n = stored.storage, math.prod(stored.shape)
        reach = sum(
            (size - 1) * step for size, step in zip(stored.shape, stored.strides, strict=True)
        )
        numbers = (*stored.shape, *stored.strides, stored.offset)
        if min(numbers) < 0 or n > storage.n_elements:
            raise _broken(self.name, "a tensor that does not fit its data")
        if n == 0:
            return torch.zeros(stored.shape, dtype=storage.dtype)
        if stored.offset + reach >= storage.n_elements:
            raise _broken(self.name, "a tensor that reaches beyond its data")
        data = self.raw(storage)
        if len(data) != storage.n_elements * storage.dtype.itemsize:
            raise _broken(self.name, f"{len(data):,} bytes for {storage.n_elements:,} numbers")
        row = torch.frombuffer(bytearray(data), dtype=storage.dtype)
        return row.as_strided(stored.shape, stored.strides, stored.offset).clone()


def read_torch_file(path: Path) -> TorchFile:
    """Read a file that `torch.save` wrote.

    Raises:
        InputError: it is none, is cut, or asks for anything but tensors and plain values.
    """
    name = str(require_exists(path))
    with _told(name), path.open("rb") as file:
        is_zip = file.read(len(_ZIP)) == _ZIP
        file.seek(0)
        return _read_zip(path, name) if is_zip else _read_old(file, name)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Whatever a damaged file makes zipfile, struct and torch raise, as an error of the input."""
    try:
        yield
    except InputError:
        raise
    except _DAMAGED as error:
        raise _broken(name, f"cannot be read: {error or type(error).__name__}") from error


def _read_zip(path: Path, name: str) -> TorchFile:
    def member(inner: str, limit: int | None = None) -> bytes:
        with zipfile.ZipFile(path) as archive:
            found = [info for info in archive.infolist() if info.filename.endswith(f"/{inner}")]
            if len(found) != 1:
                raise _broken(name, f"{len(found)} entries called {inner}")
            # torch stores without compression; a compressed entry could unpack to any size.
            if found[0].compress_type != zipfile.ZIP_STORED:
                raise _broken(name, "compressed entries")
            if limit is not None and found[0].file_size > limit:
                raise _broken(name, f"{found[0].file_size:,} bytes of {inner}")
            return archive.read(found[0])

    with zipfile.ZipFile(path) as archive:
        has_order = any(entry.endswith("/byteorder") for entry in archive.namelist())
    if has_order and member("byteorder", 16) != b"little":
        raise _broken(name, "numbers in big-endian order")
    pickled = io.BytesIO(member("data.pkl", MAX_PICKLE_BYTES))
    value = read_pickle(pickled, name, names=_NAMES, persistent=_storage)
    return TorchFile(name, value, lambda storage: member(f"data/{storage.key}"))


def _read_old(file: BinaryIO, name: str) -> TorchFile:
    magic = read_pickle(file, name)
    if magic != _MAGIC:
        raise _broken(name, "no mark of torch.save at its start")
    if read_pickle(file, name) != _VERSION:
        raise _broken(name, "an unknown version of the old format")
    system = read_pickle(file, name)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise _broken(name, "numbers in big-endian order")
    storages: dict[str, _Storage] = {}

    def named(key: Any) -> _Storage:
        storage = _storage(key)
        return storages.setdefault(storage.key, storage)

    value = read_pickle(file, name, names=_NAMES, persistent=named)
    keys = read_pickle(file, name)
    raw: dict[str, bytes] = {}
    size = os.fstat(file.fileno()).st_size
    for key in keys if isinstance(keys, list) else []:
        if not isinstance(key, str) or key not in storages:
            raise _broken(name, "data that no tensor names")
        (n,) = struct.unpack("<q", file.read(8))
        if n != storages[key].n_elements:
            raise _broken(name, f"{n:,} numbers where {storages[key].n_elements:,} belong")
        wanted = n * storages[key].dtype.itemsize
        if wanted > size - file.tell():
            raise _broken(name, f"less data than the {n:,} numbers it names")
        raw[key] = file.read(wanted)
    return TorchFile(name, value, lambda storage: raw.get(storage.key, b""))


def _storage(key: Any) -> _Storage:
    """From `("storage", type, key, device, elements[, view])`; the device does not matter."""
    kind, dtype, name, _device, n, *view = key
    if kind != "storage" or not isinstance(dtype, Name) or any(part is not None for part in view):
        raise ValueError("it names data in an unknown way")
    if not isinstance(n, int) or n < 0 or not isinstance(name, str):
        raise ValueError("a storage without a name or a number of elements")
    return _Storage(_DTYPES[dtype.path], name, n)


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, *_requires_grad_and_hooks: Any
) -> StoredTensor:
    """In place of `torch._utils._rebuild_tensor_v2`."""
    numbers = [offset, *shape, *strides]
    if not isinstance(storage, _Storage) or not all(type(number) is int for number in numbers):
        raise ValueError("a tensor of something else than numbers")
    if len(shape) != len(strides) or len(shape) > 8:
        raise ValueError("a tensor whose shape and strides do not fit")
    return StoredTensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(data: Any, *_requires_grad_and_hooks: Any) -> Any:
    """In place of `torch._utils._rebuild_parameter`."""
    return data


def _no_call(*_: Any) -> Any:
    raise ValueError("it calls a type of storage")


# fastai's `Learner.save` puts the optimiser beside the weights: a list of its own kind (L) of
# rates, which may be NumPy's numbers. They are passed over, as data.
_NAMES: Names = {
    "collections.OrderedDict": ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,  # torch before 0.4, as the released code's weights
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "fastcore.foundation.L": inert("fastcore.foundation.L"),
    "numpy.core.multiarray.scalar": inert("number"),
    "numpy._core.multiarray.scalar": inert("number"),
    "numpy.dtype": inert("numpy.dtype"),
    "_codecs.encode": inert("bytes"),
    **dict.fromkeys(_DTYPES, _no_call),
}


def _broken(name: str, what: str) -> InputError:
    return InputError(
        f"{name}: {what}" if what.startswith("cannot") else f"{name}: has {what}",
        expected="a whole file that torch.save wrote",
        hint="Copy or download it again; nothing in it was run.",
    )
