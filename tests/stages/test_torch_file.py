"""Files of torch.save: both formats give torch's own tensors; what is broken or bad is refused."""

from __future__ import annotations

import io
import os
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ulmfit.errors import InputError
from ulmfit.stages.torch_file import StoredTensor, TorchFile, read_torch_file

NEW, OLD = True, False


def saved(path: Path, value: Any, new: bool = NEW) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=new)
    return path


def tensors(file: TorchFile, value: Any) -> dict[str, Tensor]:
    return {name: file.tensor(stored) for name, stored in value.items()}


def many_tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    base = torch.randn(6, 5)
    return OrderedDict(
        plain=base,
        shared=base,
        part=base[2:4, 1:],
        transposed=base.t(),
        scalar=torch.tensor(3.5),
        empty=torch.zeros(0, 4),
        half=base.half(),
        bfloat=base.bfloat16(),
        double=base.double(),
        whole=torch.arange(7),
        truth=base > 0,
        expanded=torch.ones(1).expand(1, 1),
        parameter=nn.Parameter(base),
    )


@pytest.mark.parametrize("new", [NEW, OLD])
def test_tensors_come_back_bit_by_bit(tmp_path: Path, new: bool) -> None:
    expected = many_tensors()
    file = read_torch_file(saved(tmp_path / "x.pth", expected, new))
    found = tensors(file, file.value)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value.detach()), name


class BeforeFour:
    """A tensor as torch before 0.4 wrote it: so are the released code's weights."""

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        storage = self.value.detach().storage()  # type: ignore[no-untyped-call]
        size = tuple(self.value.size())
        return torch._utils._rebuild_tensor, (storage, 0, size, self.value.stride())


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_tensors_of_torch_before_0_4(tmp_path: Path) -> None:
    value = torch.arange(6.0).view(2, 3)
    file = read_torch_file(saved(tmp_path / "x.pth", {"w": BeforeFour(value)}, OLD))
    assert torch.equal(tensors(file, file.value)["w"], value)


@pytest.mark.parametrize("new", [NEW, OLD])
def test_a_state_dict_of_a_module_and_what_lies_beside_it(tmp_path: Path, new: bool) -> None:
    module = nn.LSTM(3, 4)
    optimizer = {"state": [{"step": 3}], "hypers": [{"lr": np.float64(0.1)}]}
    value = {"model": module.state_dict(), "opt": optimizer}
    file = read_torch_file(saved(tmp_path / "x.pth", value, new))
    for name, weight in tensors(file, file.value["model"]).items():
        assert torch.equal(weight, module.state_dict()[name])
    assert file.value["opt"]["state"] == [{"step": 3}]


class Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("new", [NEW, OLD])
@pytest.mark.parametrize("place", ["key", "beside", "alone"])
def test_a_payload_among_the_weights_is_refused(tmp_path: Path, new: bool, place: str) -> None:
    marker = tmp_path / "marker"
    payload = Runs(f"touch {marker}")
    weights = {"w": torch.ones(2)}
    values: dict[str, Any] = {
        "key": {**weights, payload: 1},
        "beside": [weights, payload],
        "alone": payload,
    }
    path = saved(tmp_path / "x.pth", values[place], new)
    with pytest.raises(InputError, match=r"asks for 'posix\.system' and was not read"):
        read_torch_file(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # the payload is a real one
    assert marker.exists()


@pytest.mark.parametrize("new", [NEW, OLD])
def test_a_whole_module_is_refused(tmp_path: Path, new: bool) -> None:
    path = saved(tmp_path / "x.pth", nn.Linear(2, 2), new)
    with pytest.raises(InputError, match=r"asks for 'torch\.nn\.modules\.linear\.Linear'"):
        read_torch_file(path)


@pytest.mark.parametrize("new", [NEW, OLD])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_cut_file_is_refused(tmp_path: Path, new: bool, share: float) -> None:
    path = saved(tmp_path / "x.pth", {"w": torch.randn(100)}, new)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError):
        file = read_torch_file(path)
        tensors(file, file.value)


@pytest.mark.parametrize("new", [NEW, OLD])
def test_a_damaged_file_is_an_error_of_the_input_or_still_a_file(tmp_path: Path, new: bool) -> None:
    path = saved(tmp_path / "x.pth", {"w": torch.randn(20), "v": torch.ones(3)}, new)
    content = path.read_bytes()
    refused = 0
    for at in range(0, len(content), 3):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        try:
            file = read_torch_file(path)
            tensors(file, file.value)
        except InputError:
            refused += 1
    assert refused > len(content) / 50


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    for content in (b"hello", b"PK\x03\x04", b"\x80\x02K\x01."):
        path.write_bytes(content)
        with pytest.raises(InputError):
            read_torch_file(path)
    with pytest.raises(InputError, match="no such file"):
        read_torch_file(tmp_path / "y.pth")


def test_compressed_entries_are_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    torch.save({"w": torch.zeros(1000)}, content)
    with (
        zipfile.ZipFile(content) as old,
        zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(InputError, match="has compressed entries"):
        read_torch_file(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "problem"),
    [
        (0, (1 << 40,), (0,), "does not fit"),
        (3, (2,), (1,), "reaches beyond"),
        (0, (2,), (5,), "reaches beyond"),
        (0, (2,), (-1,), "does not fit"),
        (-1, (1,), (1,), "does not fit"),
        (0, (-1,), (1,), "does not fit"),
    ],
)
def test_tensors_stay_inside_their_data(
    tmp_path: Path,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    problem: str,
) -> None:
    file = read_torch_file(saved(tmp_path / "x.pth", {"w": torch.ones(4)}))
    stored = StoredTensor(file.value["w"].storage, offset, shape, strides)
    with pytest.raises(InputError, match=problem):
        file.tensor(stored)
