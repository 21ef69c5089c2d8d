"""Checkpoints: everything a run needs to go on exactly where it was.

A checkpoint is a folder `step-<n>` with `tensors.safetensors` and `state.json`, written under
another name and renamed when complete. Both are checked against their CRC-32 before anything is
made of them. No pickle.
"""

from __future__ import annotations

import json
import re
import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from ulmfit import ranks
from ulmfit.errors import InputError, SettingsError
from ulmfit.storage import atomic_directory

TENSORS, STATE = "tensors.safetensors", "state.json"
MODEL, BEST, OPTIMIZER, CARRY, RANDOM = "model.", "best.", "optimizer.", "carry.", "random."
GOOD = "good."  # before the names of the state to go back to
PROCESSES = "number of processes"
_NAME = re.compile(r"step-(\d+)")


@dataclass
class Snapshot:
    """State of a run between two steps.

    Attributes:
        tensors: weights, optimiser moments, carried state and random state, by prefixed name.
        state: everything else, as JSON.
    """

    tensors: dict[str, Tensor]
    state: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under a prefix, without it."""
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}


def named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put names under a prefix."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def optimizer_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimiser's state in tensors and JSON values."""
    full = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for index, entries in full["state"].items():
        for name, value in entries.items():
            target: dict[str, Any] = tensors if isinstance(value, Tensor) else numbers
            target[f"{index}.{name}"] = value
    return tensors, {"numbers": numbers, "groups": full["param_groups"]}


def restore_optimizer(
    optimizer: Optimizer, tensors: dict[str, Tensor], other: dict[str, Any]
) -> None:
    """Inverse of `optimizer_state`."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *other["numbers"].items()]:
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": other["groups"]})


def random_state() -> dict[str, Tensor]:
    """Torch's random state, of the CPU and of each GPU."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())}
    return states


def restore_random_state(states: dict[str, Tensor]) -> None:
    """Inverse of `random_state`."""
    torch.set_rng_state(states["cpu"])
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            if f"cuda{i}" in states:
                torch.cuda.set_rng_state(states[f"cuda{i}"], i)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a model's state."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def checksum(tensors: Mapping[str, Tensor]) -> int:
    """CRC-32 of the weights that a run starts from."""
    found = 0
    for name, value in sorted(tensors.items()):
        data = value.detach().cpu().contiguous().view(-1).view(torch.uint8)
        found = zlib.crc32(data.numpy().data, zlib.crc32(name.encode(), found))
    return found


def refuse_other_run(before: Mapping[str, object], now: Mapping[str, object]) -> None:
    """Check that a checkpoint is of the run that is to be resumed.

    Raises:
        SettingsError: it is of another one; names what differs.
    """
    now = json.loads(json.dumps(now))
    refuse_other_number(before)
    changed = [key for key, value in now.items() if before.get(key) != value and key != PROCESSES]
    if changed:
        raise SettingsError(
            f"the checkpoint is of a run with other {', '.join(changed)}",
            hint="Give the same data and settings to resume it, or start again in a new folder.",
        )


def refuse_other_number(before: Mapping[str, object]) -> None:
    """Check that as many processes resume a run together as began it.

    Args:
        before: what the run wrote of itself; that of one process may lack `PROCESSES`.

    Raises:
        SettingsError: they are more or fewer.
    """
    then, now = before.get(PROCESSES, 1), ranks.size()
    if then != now:
        start = "Start it without torchrun" if then == 1 else f"Start {then} with torchrun"
        raise SettingsError(
            f"the run was begun with {then} of the processes that train together, not {now}",
            expected=f"{then}",
            hint=f"{start} to resume it, or leave --resume out to start again.",
        )


class Checkpoints:
    """The checkpoints of one run, newest kept; of several processes, the first one writes.

    Args:
        folder: where they are; made when the first is saved.
        keep: how many to keep.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep
        self.writes = ranks.rank() == 0

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        if not self.folder.is_dir():
            return []
        found = (_NAME.fullmatch(entry.name) for entry in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def save(self, step: int, snapshot: Snapshot) -> None:
        """Write a checkpoint atomically, then drop the ones beyond `keep`.

        Raises:
            StorageError: the disk is full or cannot be written to; older checkpoints stay.
        """
        if not self.writes:
            return
        target = self.folder / f"step-{step}"
        if not target.exists():
            tensors = {k: v.detach().cpu().contiguous() for k, v in snapshot.tensors.items()}
            with atomic_directory(target) as draft:
                save_file(tensors, draft / TENSORS)
                state = json.dumps(snapshot.state)
                sums = {"tensors": _crc32(draft / TENSORS), "state": zlib.crc32(state.encode())}
                (draft / STATE).write_text(
                    f'{{"crc32": {json.dumps(sums)}, "state": {state}}}', encoding="utf-8"
                )
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self.folder / f"step-{old}", ignore_errors=True)

    def load_latest(self, say: Callable[[str], None] = lambda text: None) -> Snapshot | None:
        """The newest checkpoint that is whole, or None where there is none at all.

        A checkpoint that was cut or altered is removed once one before it could be read.

        Args:
            say: told of each that could not be read.

        Raises:
            InputError: there are checkpoints, and none can be read.
        """
        found: dict[int, Snapshot] = {}  # of the process that looks

        def look() -> int | None:
            found.update(self._newest(say))
            return next(iter(found), None)

        step = ranks.first("the newest checkpoint", look)
        if step is None:
            return None
        return found.get(step) or _read(self.folder / f"step-{step}")

    def _newest(self, say: Callable[[str], None]) -> dict[int, Snapshot]:
        """The newest whole checkpoint by its step, and nothing else."""
        faults: dict[int, str] = {}
        for step in reversed(self.steps()):
            try:
                found = _read(self.folder / f"step-{step}")
            except (OSError, ValueError, SafetensorError) as error:
                faults[step] = str(error)
                continue
            for broken, why in faults.items():
                say(f"checkpoint step-{broken} cannot be read ({why}): going on from step {step}")
                shutil.rmtree(self.folder / f"step-{broken}", ignore_errors=True)
            return {step: found}
        if faults:
            newest, why = next(iter(faults.items()))
            raise InputError(
                f"checkpoint {self.folder / f'step-{newest}'} cannot be read: {why}",
                hint="There is none before it that can: leave --resume out to start again.",
            )
        return {}

    def drop_from(self, step: int) -> None:
        """Remove the checkpoints of a step and of all later ones: these steps are undone."""
        for later in self.steps():
            if self.writes and later >= step:
                shutil.rmtree(self.folder / f"step-{later}", ignore_errors=True)

    def clear(self) -> None:
        """Remove all checkpoints: the run is complete, or one begins afresh."""
        if self.writes:
            shutil.rmtree(self.folder, ignore_errors=True)


def _read(folder: Path) -> Snapshot:
    """A checkpoint; ValueError or what the libraries raise if it is not as it was written."""
    found = json.loads((folder / STATE).read_text(encoding="utf-8"))
    if not isinstance(found, dict) or found.keys() != {"crc32", "state"}:
        raise ValueError(f"{STATE} is not as this version of ulmfit writes it")
    sums, state = found["crc32"], found["state"]
    now = {"tensors": _crc32(folder / TENSORS), "state": zlib.crc32(json.dumps(state).encode())}
    if sums != now:
        raise ValueError("it was cut or altered: its CRC-32 differs")
    # Copies: a loaded tensor lies wherever it lay in the file, and the last bit of a matrix
    # product depends on where its factors are aligned.
    tensors = {name: value.clone() for name, value in load_file(folder / TENSORS).items()}
    return Snapshot(tensors, state)


def _crc32(path: Path) -> int:
    found = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found = zlib.crc32(block, found)
    return found
