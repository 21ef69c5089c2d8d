"""Checkpoints: whole or not there, the newest first, exactly what was saved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tests import tiny
from ulmfit.errors import InputError, SettingsError, StorageError
from ulmfit.optim.nt_asgd import NTASGD
from ulmfit.settings import OptimizerSettings
from ulmfit.train import checkpoint as ckpt
from ulmfit.train.checkpoint import Checkpoints, Snapshot
from ulmfit.train.loop import make_optimizer


def snapshot(number: int = 0) -> Snapshot:
    return Snapshot({"model.w": torch.full((2, 3), float(number))}, {"number": number})


def loaded_number(checkpoints: Checkpoints) -> object:
    found = checkpoints.load_latest()
    return None if found is None else found.state["number"]


def test_what_is_loaded_is_what_was_saved(tmp_path: Path) -> None:
    tensors = {
        "model.w": torch.randn(3, 4).t(),  # not contiguous
        "model.count": torch.tensor(7),
        "model.empty": torch.zeros(0, 5),
        "random.cpu": torch.get_rng_state(),
        "carry.h": torch.tensor([0.1, -0.0, torch.inf], dtype=torch.float64),
    }
    state = {"float": 0.1 + 0.2, "list": [1, None, True], "name": "größer"}
    checkpoints = Checkpoints(tmp_path / "deep" / "checkpoints")
    checkpoints.save(3, Snapshot(tensors, state))
    found = checkpoints.load_latest()
    assert found is not None
    assert found.state == state
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
    assert found.part("model.").keys() == {"w", "count", "empty"}


def test_loaded_tensors_lie_as_fresh_ones_do(tmp_path: Path) -> None:
    # In the file they lie one after another; a matrix product's last bit can tell.
    odd = {f"model.{i}": torch.zeros(3, dtype=torch.uint8) for i in range(5)}
    odd |= {f"model.w{i}": torch.zeros(5) for i in range(5)}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, Snapshot(odd, {}))
    found = checkpoints.load_latest()
    assert found is not None
    assert all(tensor.data_ptr() % 64 == 0 for tensor in found.tensors.values())


def test_the_newest_is_the_one_of_most_steps(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert loaded_number(checkpoints) is None
    for step in (8, 9, 10):
        checkpoints.save(step, snapshot(step))
    assert checkpoints.steps() == [9, 10]
    assert loaded_number(checkpoints) == 10


def test_more_can_be_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step in range(5):
        checkpoints.save(step, snapshot(step))
    assert checkpoints.steps() == [2, 3, 4]


def test_a_checkpoint_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(4, snapshot(4))
    before = (tmp_path / "step-4" / "state.json").stat().st_mtime_ns
    checkpoints.save(4, snapshot(4))
    assert (tmp_path / "step-4" / "state.json").stat().st_mtime_ns == before


def test_leftovers_of_a_killed_write_are_ignored_and_removed(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(4, snapshot(4))
    half = tmp_path / ".step-5.0123abcd.ulmfit-draft"
    half.mkdir()
    (half / "tensors.safetensors").write_bytes(b"half of i")
    assert checkpoints.steps() == [4]
    assert loaded_number(checkpoints) == 4
    checkpoints.save(5, snapshot(5))
    assert loaded_number(checkpoints) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-4", "step-5"]


def test_other_things_in_the_folder_are_no_checkpoints(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for name in ("step-", "step-12-old", "last", "step-x"):
        (tmp_path / name).mkdir()
    assert checkpoints.steps() == []


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("cut tensors", "it was cut or altered: its CRC-32 differs"),
        ("one bit", "it was cut or altered: its CRC-32 differs"),
        ("one digit", "it was cut or altered: its CRC-32 differs"),
        ("no tensors", ""),
        ("empty state", ""),
        ("cut state", ""),
        ("no state", ""),
        ("bytes", ""),
        ("another thing", "state.json is not as this version of ulmfit writes it"),
    ],
)
def test_a_checkpoint_that_cannot_be_read(damage: str, why: str, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (4, 5):
        checkpoints.save(step, snapshot(step))
    tensors, state = tmp_path / "step-5" / ckpt.TENSORS, tmp_path / "step-5" / ckpt.STATE
    match damage:
        case "cut tensors":
            tensors.write_bytes(tensors.read_bytes()[:-5])
        case "one bit":
            data = bytearray(tensors.read_bytes())
            data[-1] ^= 1
            tensors.write_bytes(data)
        case "one digit":
            state.write_bytes(state.read_bytes().replace(b'"number": 5', b'"number": 6'))
        case "no tensors":
            tensors.unlink()
        case "empty state":
            state.write_bytes(b"")
        case "cut state":
            state.write_bytes(state.read_bytes()[:-1])
        case "no state":
            state.unlink()
        case "bytes":
            state.write_bytes(b"\xff\xfe\x00")
        case "another thing":
            state.write_bytes(b"[1, 2]")
    told: list[str] = []
    found = checkpoints.load_latest(told.append)
    assert found is not None
    assert found.state == {"number": 4}
    assert len(told) == 1
    assert told[0].startswith(f"checkpoint step-5 cannot be read ({why}")
    assert told[0].endswith("): going on from step 4")
    # It would be in the way of the step that is done again.
    assert checkpoints.steps() == [4]


def test_no_checkpoint_can_be_read(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (4, 5):
        checkpoints.save(step, snapshot(step))
        (tmp_path / f"step-{step}" / ckpt.STATE).write_bytes(b"[1, 2]")
    with pytest.raises(InputError) as caught:
        checkpoints.load_latest()
    assert str(caught.value) == (
        f"checkpoint {tmp_path / 'step-5'} cannot be read: state.json is not as this version of "
        "ulmfit writes it. There is none before it that can: leave --resume out to start again."
    )
    assert checkpoints.steps() == [4, 5]  # nothing is removed that nothing replaces


def test_undone_steps_are_dropped(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=5)
    for step in (4, 5, 6):
        checkpoints.save(step, snapshot(step))
    checkpoints.drop_from(5)
    assert checkpoints.steps() == [4]


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write '.*step-1': not a directory"):
        Checkpoints(tmp_path / "file" / "checkpoints").save(1, snapshot())


def test_clearing(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.clear()  # nothing there
    checkpoints.save(1, snapshot())
    checkpoints.clear()
    assert list(tmp_path.iterdir()) == []


SETTINGS = {
    "adam": OptimizerSettings(),
    "nt_asgd": OptimizerSettings(kind="nt_asgd", weight_decay=1e-3),
}


def train(optimizer: Optimizer, parameters: list[nn.Parameter], steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for parameter in parameters:
            if parameter.requires_grad:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("kind", SETTINGS)
def test_an_optimiser_goes_on_bit_for_bit(kind: str, tmp_path: Path) -> None:
    def start() -> tuple[Optimizer, list[nn.Parameter]]:
        torch.manual_seed(0)
        parameters = [nn.Parameter(torch.randn(3, 5)) for _ in range(4)]
        return make_optimizer([parameters[:2], parameters[2:]], SETTINGS[kind]), parameters

    first, parameters = start()
    parameters[0].requires_grad_(False)  # frozen: it has no state yet
    first.param_groups[1]["lr"] = 0.02
    if isinstance(first, NTASGD):
        first.param_groups[0]["averaging"] = first.param_groups[1]["averaging"] = True
    train(first, parameters, 3, seed=1)
    moments, other = ckpt.optimizer_state(first)
    assert not any(name.startswith("0.") for name in moments)
    Checkpoints(tmp_path).save(3, Snapshot(moments, {"optimizer": other}))

    second, others = start()
    found = Checkpoints(tmp_path).load_latest()
    assert found is not None
    ckpt.restore_optimizer(second, found.tensors, found.state["optimizer"])
    with torch.no_grad():
        for target, source in zip(others, parameters, strict=True):
            target.copy_(source)
    parameters[0].requires_grad_(True)
    train(first, parameters, 3, seed=2)
    train(second, others, 3, seed=2)
    for one, two in zip(parameters, others, strict=True):
        assert torch.equal(one, two)
    moments, again = ckpt.optimizer_state(first)[0], ckpt.optimizer_state(second)[0]
    assert moments.keys() == again.keys()
    for name, value in moments.items():
        assert value.dtype == again[name].dtype == torch.float32
        assert torch.equal(value, again[name])


def test_random_numbers_go_on() -> None:
    torch.manual_seed(3)
    torch.rand(5)
    states = ckpt.random_state()
    expected = torch.rand(7)
    torch.manual_seed(99)
    ckpt.restore_random_state(states)
    assert torch.equal(torch.rand(7), expected)


def test_weights_are_copies() -> None:
    model = tiny.lm_model()
    before = ckpt.weights(model)
    with torch.no_grad():
        model.decoder_bias.add_(1)
    assert not before["decoder_bias"].any()
    assert not any(value.requires_grad for value in before.values())


def test_the_checksum_sees_every_weight_and_no_order() -> None:
    def tensors() -> dict[str, Tensor]:
        return {"a": torch.zeros(2, 3).t(), "n": torch.tensor(3), "h": torch.zeros(2).bfloat16()}

    whole = ckpt.checksum(tensors())
    assert ckpt.checksum(dict(reversed(tensors().items()))) == whole
    for name in tensors():
        changed = tensors()
        changed[name] = changed[name] + 1
        assert ckpt.checksum(changed) != whole
    assert ckpt.checksum({"b" if k == "a" else k: v for k, v in tensors().items()}) != whole
    assert ckpt.checksum({}) == 0


def test_another_run_is_named() -> None:
    now = {"seed": 1, "shares": (0.5, 1.0), "data": [3]}
    before = json.loads(json.dumps(now))
    ckpt.refuse_other_run(before, now)
    with pytest.raises(SettingsError) as caught:
        ckpt.refuse_other_run({**before, "seed": 2, "data": [4]}, now)
    assert str(caught.value) == (
        "the checkpoint is of a run with other seed, data. "
        "Give the same data and settings to resume it, or start again in a new folder."
    )
