"""A plan is made once: a resumed run keeps it on any machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny
from ulmfit.apps import planned
from ulmfit.apps.corpus_facts import CorpusFacts
from ulmfit.apps.planned import Plan, machine_of
from ulmfit.apps.pretrain_plan import Machine, plan_path
from ulmfit.apps.run import TrainingRun
from ulmfit.errors import InputError
from ulmfit.runtime import make_accelerator
from ulmfit.settings import PretrainSettings, TextSettings
from ulmfit.train.tracker import Silent

FACTS = CorpusFacts(10, 30_000_000, 100, "", 0.01)


def run_in(work: Path) -> TrainingRun:
    return TrainingRun(work, make_accelerator(cpu=True), Silent())


def test_a_resumed_run_keeps_its_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Plan(run_in(tmp_path), FACTS, ()).adapted(PretrainSettings())
    assert first.emb_size == 256
    monkeypatch.setattr(planned, "machine_of", lambda run: Machine(True, "a GPU"))
    assert Plan(run_in(tmp_path), FACTS, ()).adapted(PretrainSettings()) == first
    other = Plan(run_in(tmp_path / "other"), FACTS, ()).adapted(PretrainSettings())
    assert other.emb_size == 400


@pytest.mark.parametrize("content", ["{", "[1]", '{"settings": {"epochs": "many"}}'])
def test_a_plan_that_cannot_be_read_is_told(tmp_path: Path, content: str) -> None:
    plan_path(tmp_path).write_text(content)
    with pytest.raises(InputError, match=r"plan.json' cannot be read.*Leave --resume out"):
        Plan(run_in(tmp_path), FACTS, ()).adapted(PretrainSettings())


def test_settings_that_are_to_stay(tmp_path: Path) -> None:
    mine = PretrainSettings(emb_size=9)
    assert Plan(run_in(tmp_path), FACTS, None).adapted(mine) == mine
    assert machine_of(run_in(tmp_path)).gpu is False


def test_the_number_of_steps_is_kept_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned, "MEASURED_SECONDS", 0.0)
    words = tiny.tokenizer()
    corpora = words, tiny.corpus(words, 300), tiny.corpus(words, 30, seed=8)
    settings = PretrainSettings(
        text=TextSettings(min_freq=1), emb_size=6, hidden_size=8, batch_size=8, bptt=7
    )
    found = [
        Plan(run_in(tmp_path), FACTS, ()).timed(
            settings, ["forward", "backward"], seconds, True, corpora
        )
        for seconds in (500.0, 5000.0)
    ]
    assert found[0] == found[1]
    assert found[0]["forward"].max_tokens > 0  # type: ignore[operator]
