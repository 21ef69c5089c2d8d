from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ulmfit.apps.run import LOCK, MARK, TrainingRun, precision_of
from ulmfit.errors import AlreadyFinished, SettingsError
from ulmfit.runtime import make_accelerator
from ulmfit.train.checkpoint import PROCESSES
from ulmfit.train.tracker import Silent


def run_in(work: Path, *, seed: int = 0, resume: bool = False) -> TrainingRun:
    return TrainingRun(work, make_accelerator(cpu=True), Silent(), seed, resume)


def test_a_run_that_does_not_resume_starts_afresh(tmp_path: Path) -> None:
    work = tmp_path / "work"
    run_in(work).claim({"data": "a"})
    (work / "forward").mkdir()
    run_in(work).claim({"data": "a"})
    assert [entry.name for entry in work.iterdir()] == ["run.json"]


def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(SettingsError, match=r"holds other files \(notes.txt\)"):
            run_in(tmp_path, resume=resume).claim({"data": "a"})
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_to_start_afresh_keeps_the_lock_and_what_a_link_points_to(tmp_path: Path) -> None:
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    run_in(work).claim({"data": "a"})
    (work / LOCK).touch()
    elsewhere.mkdir()
    (elsewhere / "model").touch()
    (work / "forward").symlink_to(elsewhere)
    run_in(work).claim({"data": "a"})
    assert {entry.name for entry in work.iterdir()} == {MARK, LOCK}
    assert (elsewhere / "model").exists()


def test_a_run_of_two_processes_is_not_resumed_by_one(tmp_path: Path) -> None:
    run_in(tmp_path).claim({"data": "a"})
    mark = json.loads((tmp_path / MARK).read_text())
    (tmp_path / MARK).write_text(json.dumps({**mark, PROCESSES: 2}))
    with pytest.raises(SettingsError, match="begun with 2 of the processes that train together"):
        run_in(tmp_path, resume=True).claim({"data": "a"})


def test_what_a_resumed_run_lacks_is_named(tmp_path: Path) -> None:
    run_in(tmp_path).claim({"data": "a", "task text": "b"})
    with pytest.raises(SettingsError, match='in task text: "b", now null'):
        run_in(tmp_path, resume=True).claim({"data": "a"})


def test_a_resumed_run_finds_what_the_first_one_left(tmp_path: Path) -> None:
    work = tmp_path / "work"
    run_in(work).claim({"data": "a", "sizes": (1, 2)})
    (work / "forward").mkdir()
    run_in(work, resume=True).claim({"data": "a", "sizes": (1, 2)})
    assert (work / "forward").is_dir()


def test_a_finished_run_is_not_begun_again(tmp_path: Path) -> None:
    work = tmp_path / "work"
    run_in(work).claim({"data": "a", "sizes": (1, 2)})
    finished = run_in(work).made_by()["run"]
    other = replace(run_in(tmp_path / "other", resume=True), finished=finished)
    with pytest.raises(AlreadyFinished, match=r"nothing to do.*Leave --resume out to train again"):
        other.claim({"data": "a", "sizes": [1, 2], "precision": "bf16"})
    for own, identity in ((other, {"data": "b"}), (replace(other, seed=1), {"data": "a"})):
        with pytest.raises(SettingsError, match="is finished, and of other data or settings"):
            own.claim(identity)
    assert not (tmp_path / "other").exists()
    replace(other, resume=False).claim({"data": "b"})
    replace(other, finished="another").claim({"data": "b"})  # a run that was stopped goes first


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
