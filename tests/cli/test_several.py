"""Verbs under torchrun."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rank_runs import in_ranks, values
from ulmfit import ranks
from ulmfit.cli.several import meet_others
from ulmfit.errors import SettingsError, StoppedElsewhere


def test_alone_every_verb_runs() -> None:
    meet_others("predict", ["-"], trains=False)
    assert ranks.size() == 1


def test_a_verb_that_does_not_train_refuses_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(SettingsError) as caught:
        meet_others("predict", [], trains=False)
    assert str(caught.value) == (
        "2 processes were started for `ulmfit predict`: expected one. Start it without torchrun: "
        "only training can be shared by several processes."
    )
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(StoppedElsewhere):
        meet_others("predict", [], trains=False)


def meet(*given: object) -> int:
    meet_others("train", given, trains=True)
    return ranks.size()


def test_verbs_that_train_meet(tmp_path: Path) -> None:
    assert values(in_ranks(2, meet, tmp_path, "data.csv", 5, None, ["more.txt"])) == [2, 2]


@pytest.mark.parametrize("given", ["-", ["more.txt", "-"]])
def test_standard_input_is_refused(given: object, tmp_path: Path) -> None:
    first, second = in_ranks(2, meet, tmp_path, given)
    assert first.error.startswith("InputError: standard input cannot be shared by several")
    assert (first.speaks, second.speaks) == (True, False)
