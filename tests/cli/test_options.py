from __future__ import annotations

import os

import pytest
import torch

from tests.threads import torch_threads
from ulmfit.cli.options import parse_info, parse_where, use_threads
from ulmfit.errors import SettingsError


@pytest.fixture
def kept_threads(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.delenv("RAYON_NUM_THREADS", raising=False)
    with torch_threads() as before:
        yield before


def test_threads_are_those_asked_for(kept_threads: int) -> None:
    use_threads(None)
    assert torch.get_num_threads() == kept_threads
    assert "RAYON_NUM_THREADS" not in os.environ
    use_threads(2)
    assert torch.get_num_threads() == 2
    assert os.environ["RAYON_NUM_THREADS"] == "2"


def test_conditions_and_facts_are_pairs() -> None:
    found = parse_where(["source=a, b", "lang=de", "source=c"])
    assert found == {"source": {"a", "b", "c"}, "lang": {"de"}}
    assert parse_where(None) is None
    assert parse_info(["licence=a=b", "corpus= wiki "]) == {"licence": "a=b", "corpus": "wiki"}
    assert parse_info(None) == {}
    with pytest.raises(SettingsError, match=r"--info 'x' has no '=': expected KEY=TEXT"):
        parse_info(["x"])
    with pytest.raises(SettingsError, match=r"--where '=x' has no '=': expected COL=A,B"):
        parse_where(["=x"])
