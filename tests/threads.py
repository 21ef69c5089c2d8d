"""How many threads torch has during a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(n: int | None = None) -> Iterator[int]:
    """So many threads, None for as many as there are; afterwards as many as before, which it gives.

    Args:
        n: threads.
    """
    before = torch.get_num_threads()
    if n is not None:
        torch.set_num_threads(n)
    try:
        yield before
    finally:
        torch.set_num_threads(before)
