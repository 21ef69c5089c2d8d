from __future__ import annotations

from pathlib import Path

import pytest

from ulmfit.apps.run import TrainingRun, precision_of
from ulmfit.errors import SettingsError
from ulmfit.runtime import make_accelerator
from ulmfit.train.tracker import Silent


def run_in(work: Path, *, seed: int = 0, resume: bool = False) -> TrainingRun:
    return TrainingRun(work, make_accelerator(cpu=True), Silent(), seed, resume)


def test_a_run_that_does_not_resume_starts_afresh(tmp_path: Path) -> None:
    work = tmp_path / "work"
    run_in(work).claim({"data": "a"})
    (work / "forward").mkdir()
    run_in(work).claim({"data": "a"})
    assert [entry.name for entry in work.iterdir()] == ["run.json"]


def test_a_resumed_run_finds_what_the_first_one_left(tmp_path: Path) -> None:
    work = tmp_path / "work"
    run_in(work).claim({"data": "a", "sizes": (1, 2)})
    (work / "forward").mkdir()
    run_in(work, resume=True).claim({"data": "a", "sizes": (1, 2)})
    assert (work / "forward").is_dir()


@pytest.mark.parametrize(
    ("identity", "seed", "named"),
    [
        ({"data": "b"}, 0, 'data: "a", now "b"'),
        ({"data": "a"}, 1, "seed: 0, now 1"),
        ({"data": "b" * 50}, 1, "data and seed: 0, now 1"),
        ({"data": [1, 2]}, 0, "data"),
    ],
)
def test_a_run_of_something_else_is_not_resumed(
    tmp_path: Path, identity: dict[str, object], seed: int, named: str
) -> None:
    work = tmp_path / "work"
    run_in(work).claim({"data": "a"})
    with pytest.raises(SettingsError, match=f"differs in {named}.*--resume"):
        run_in(work, seed=seed, resume=True).claim(identity)


def test_settings_that_differ_are_told_one_by_one(tmp_path: Path) -> None:
    work = tmp_path / "work"
    before = {
        "lr": 1,
        "rates": {"kind": "uniform", "decay": 2.6},
        "same": 3,
        "a": 1,
        "b": 2,
        "c": 3,
    }
    run_in(work).claim({"settings": before})
    now = {**before, "lr": 2, "rates": {"kind": "discriminative", "decay": 2.6}}
    with pytest.raises(SettingsError) as refused:
        run_in(work, resume=True).claim({"settings": now})
    assert 'settings (lr: 1, now 2, rates (kind: "uniform", now "discriminative")).' in str(
        refused.value
    )
    now |= {"a": 0, "b": 0, "c": 0}
    with pytest.raises(SettingsError, match=r"a: 1, now 0, b: 2, now 0 and 1 more\)"):
        run_in(work, resume=True).claim({"settings": now})


def test_a_resumed_run_has_the_precision_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ulmfit.runtime.cpu_runs_bf16", lambda: True)
    work = tmp_path / "work"
    assert precision_of(work) == "auto"
    for precision in ("float32", "bf16"):
        accelerator = make_accelerator(precision, cpu=True)
        TrainingRun(work, accelerator, Silent()).claim({"data": "a"})
        assert precision_of(work) == precision


def test_each_stage_has_a_folder_of_its_own(tmp_path: Path) -> None:
    context = run_in(tmp_path, seed=3, resume=True).context("backward", "lm")
    assert (context.folder, context.seed, context.resume) == (tmp_path / "backward" / "lm", 3, True)
