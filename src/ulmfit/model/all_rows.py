"""The rows of a batch that several processes share: batch norm needs the statistics of them all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ulmfit import ranks


def all_rows(own: Tensor) -> tuple[Tensor, slice]:
    """The rows of all processes, by rank, and where this one's are among them.

    Gradients flow back to each process's own rows from what every process computes of them. Alone,
    they are one's own.

    Args:
        own: (B, F); B may differ between processes.

    Returns:
        (sum of B, F), and a slice of its rows.
    """
    if ranks.size() == 1:
        return own, slice(own.size(0))
    counts = [int(row[0]) for row in ranks.exchange("rows", own.size(0))]
    start = sum(counts[: ranks.rank()])
    place = slice(start, start + own.size(0))
    rows: Tensor = _AllRows.apply(own.float(), place, sum(counts))  # type: ignore[no-untyped-call]
    return rows.to(own.dtype), place


class _AllRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, place: slice, n_rows: int) -> Tensor:
        """Each process adds its rows to zeros."""
        ctx.place = place
        rows = own.new_zeros(n_rows, own.size(1))
        rows[place] = own
        ranks.add_up("rows, forward", [rows])
        return rows

    @staticmethod
    def backward(ctx: Any, d_rows: Tensor) -> tuple[Tensor, None, None]:
        """What all processes have to say of one's own rows, in sum."""
        total = d_rows.contiguous().clone()
        ranks.add_up("rows, backward", [total])
        return total[ctx.place], None, None
