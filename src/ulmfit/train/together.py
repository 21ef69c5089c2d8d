"""What the processes that train together share at each step, and what each keeps for itself.

All hold the same weights and the same place in the run. Each has a part of every batch, the state
carried along that part, and random numbers of its own. Alone, all of it does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from ulmfit import ranks
from ulmfit.train import checkpoint as ckpt
from ulmfit.train.checkpoint import Snapshot

# What differs between processes: in the present state and in the one that `Recovery` keeps.
OWN = (ckpt.CARRY, ckpt.RANDOM, f"{ckpt.GOOD}{ckpt.CARRY}", f"{ckpt.GOOD}{ckpt.RANDOM}")

_OF_OTHERS = "process."

# Bits of one exchanged number, which is exact up to 2^53.
_BITS = 48

# Any odd number far from the small seeds that people choose.
_SEED_STEP = 1_000_003


def begin_alike(model: nn.Module) -> None:
    """Give all processes the first one's weights, and each its own random numbers for dropout."""
    if ranks.size() == 1:
        return
    ranks.take_over("first weights", [*model.parameters(), *model.buffers()])
    if ranks.rank():
        torch.manual_seed(torch.initial_seed() + _SEED_STEP * ranks.rank())


def whole_batch(
    metric: Tensor, loss: Tensor, n_items: int, parameters: Sequence[nn.Parameter]
) -> tuple[float, float, int]:
    """Add up the shares of all processes, once each has its gradients.

    Args:
        metric: this process's share of the reported metric, scalar.
        loss: of the loss.
        n_items: items in its part of the batch.
        parameters: of which some have gradients; those that have one anywhere get one here.

    Returns:
        Metric, loss and number of items of the whole batch.
    """
    if ranks.size() == 1:
        return float(metric), float(loss.detach()), n_items
    present = [parameter.grad is not None for parameter in parameters]
    words = [present[start : start + _BITS] for start in range(0, len(present), _BITS)]
    rows = ranks.exchange(
        "a step",
        *(float(metric), float(loss.detach()), n_items),
        *(sum(1 << bit for bit, there in enumerate(word) if there) for word in words),
    )
    for index, word in enumerate(zip(*(row[3:] for row in rows), strict=True)):
        anywhere = 0
        for mask in word:
            anywhere |= int(mask)
        for bit, parameter in enumerate(parameters[index * _BITS : (index + 1) * _BITS]):
            if anywhere >> bit & 1 and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
    metrics, losses, counts = list(zip(*rows, strict=True))[:3]
    return sum(metrics), sum(losses), int(sum(counts))


def add_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace every gradient by its sum over all processes."""
    ranks.add_up("gradients", [p.grad for p in parameters if p.grad is not None])


def gather_own(snapshot: Snapshot) -> None:
    """Complete the first process's snapshot by what the others keep for themselves."""
    if ranks.size() == 1:
        return
    own = {k: v.cpu().contiguous() for k, v in snapshot.tensors.items() if k.startswith(OWN)}
    for number, data in enumerate(ranks.gathered("a checkpoint", save(own))):
        if number:
            snapshot.tensors |= ckpt.named(_prefix(number), load(data))


def take_own(snapshot: Snapshot) -> None:
    """Put this process's own in the place of the first one's; drop the others'."""
    own = snapshot.part(_prefix(ranks.rank())) if ranks.rank() else None
    for name in list(snapshot.tensors):
        others = name.startswith(_OF_OTHERS)
        if others or (own is not None and name.startswith(OWN)):
            del snapshot.tensors[name]
    snapshot.tensors |= own or {}


def _prefix(number: int) -> str:
    return f"{_OF_OTHERS}{number}."
