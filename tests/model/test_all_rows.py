"""Batch norm over the rows of two processes is batch norm over all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.rank_runs import in_ranks, values
from ulmfit import ranks
from ulmfit.model.all_rows import all_rows

ROWS = torch.randn(7, 18, generator=torch.Generator().manual_seed(3))
WANTED = torch.randn(7, 3, generator=torch.Generator().manual_seed(4))


def test_alone_rows_are_ones_own() -> None:
    rows, place = all_rows(ROWS)
    assert rows is ROWS
    assert place == slice(7)


def gathered(counts: list[int], kind: str) -> list[Any]:
    own = torch.full((counts[ranks.rank()], 2), 1.5 + ranks.rank(), dtype=getattr(torch, kind))
    rows, place = all_rows(own)
    assert rows.dtype == own.dtype
    return [rows[:, 1].tolist(), rows[place].tolist() == own.tolist()]


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_parts_may_differ_in_size(kind: str, tmp_path: Path) -> None:
    for found in values(in_ranks(2, gathered, tmp_path, [1, 3], kind)):
        assert found == [[1.5, 2.5, 2.5, 2.5], True]


def head_step(part: list[int]) -> dict[str, list[Any]]:
    """Forward and backward of the head on some rows, with the loss over all of them."""
    head = tiny.classifier_model().head.train()
    mine = part if ranks.size() == 1 else part[ranks.rank() :: ranks.size()]
    x = ROWS[mine].clone().requires_grad_()
    scores = head(x)
    ((scores - WANTED[mine]).pow(2).sum() / len(part)).backward()
    assert x.grad is not None
    ranks.add_up("gradients", [p.grad for p in head.parameters() if p.grad is not None])
    return {
        "scores": scores.tolist(),
        "inputs": x.grad.tolist(),
        **{name: p.grad.tolist() for name, p in head.named_parameters() if p.grad is not None},
        **{name: value.tolist() for name, value in head.named_buffers()},
    }


@pytest.mark.parametrize("part", [[0, 1, 2, 3, 4, 5, 6], [2, 5]], ids=["uneven", "one row each"])
def test_the_head_of_two_processes_is_that_of_one(part: list[int], tmp_path: Path) -> None:
    expected = head_step(part)
    first, second = values(in_ranks(2, head_step, tmp_path, part))
    for name, value in expected.items():
        if name in ("scores", "inputs"):
            both = np.empty_like(np.array(value))
            both[0::2], both[1::2] = first[name], second[name]
            np.testing.assert_allclose(both, value, rtol=1e-3, atol=2e-6)
        else:
            assert first[name] == second[name], name
            np.testing.assert_allclose(first[name], value, rtol=1e-3, atol=2e-6, err_msg=name)


def evaluated() -> Any:
    """Only the first process answers: in evaluation nobody waits for the others."""
    model = tiny.classifier_model().head.eval()
    return [] if ranks.rank() else model(ROWS[:1]).tolist()


def test_answers_need_no_other_process(tmp_path: Path) -> None:
    first, _ = values(in_ranks(2, evaluated, tmp_path))
    assert first == tiny.classifier_model().head.eval()(ROWS[:1]).tolist()
