from __future__ import annotations

import os

import pytest
import torch

from ulmfit.cli.options import use_threads


@pytest.fixture
def kept_threads(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.delenv("RAYON_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_threads_are_those_asked_for(kept_threads: int) -> None:
    use_threads(None)
    assert torch.get_num_threads() == kept_threads
    assert "RAYON_NUM_THREADS" not in os.environ
    use_threads(2)
    assert torch.get_num_threads() == 2
    assert os.environ["RAYON_NUM_THREADS"] == "2"
