"""`train`, both directions: killed anywhere and resumed, it ends as if it had not been."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.child_runs import (
    Blow,
    Request,
    in_child,
    in_fresh_interpreter,
    killed_again_and_again,
    result,
)
from ulmfit.apps.self_training import FOLDER

PIPELINE = Request("pipeline", "")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The result of the run that nobody stops."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    assert in_child(replace(PIPELINE, folder=str(folder))) == 0
    return result(folder)


def test_both_directions_are_in_the_result(unbroken: dict[str, object]) -> None:
    weights = unbroken["weights"]
    assert isinstance(weights, list)
    assert len(set(weights)) == 2
    assert len(str(unbroken["log"]).splitlines()) == 2 * (1 + 2) * 2  # the stages' and the models'


def test_killed_every_other_step_of_all_stages(unbroken: dict[str, object], tmp_path: Path) -> None:
    request = replace(PIPELINE, folder=str(tmp_path))
    assert killed_again_and_again(request, Blow(3)) >= 8
    assert result(tmp_path) == unbroken


def test_killed_again_and_again_in_both_rounds(tmp_path: Path) -> None:
    request = replace(PIPELINE, settings={"documents": 6, "epochs": 2})
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert in_child(replace(request, folder=str(whole))) == 0
    assert (whole / "work" / FOLDER / "backward" / "classifier" / "model").is_dir()
    assert killed_again_and_again(replace(request, folder=str(broken)), Blow(4)) >= 8
    assert result(broken) == result(whole)


def test_killed_at_every_message(unbroken: dict[str, object], tmp_path: Path) -> None:
    # Also before the corpus is packed, and between the stages.
    for count in range(1, 30, 2):
        request = replace(PIPELINE, folder=str(tmp_path / str(count)), checkpoint_seconds=1e9)
        if in_child(replace(request, blow=Blow(count, "note"))) == 0:
            break
        assert in_child(replace(request, resume=True)) == 0
        assert result(Path(request.folder)) == unbroken
    assert count > 10


def test_stopped_by_the_user_in_the_second_stage(
    unbroken: dict[str, object], tmp_path: Path
) -> None:
    request = replace(PIPELINE, folder=str(tmp_path), checkpoint_seconds=1e9)
    assert in_child(replace(request, blow=Blow(14, signal="SIGINT"))) == 130
    message = (tmp_path / "error.txt").read_text(encoding="utf-8")
    assert message.startswith("Interrupted: stopped at step 4. ")
    assert in_child(replace(request, resume=True)) == 0
    assert result(tmp_path) == unbroken


def test_same_seed_same_bytes_in_another_interpreter(
    unbroken: dict[str, object], tmp_path: Path
) -> None:
    assert in_fresh_interpreter(replace(PIPELINE, folder=str(tmp_path))) == 0
    assert result(tmp_path) == unbroken


def test_a_stage_that_is_done_is_not_done_again_and_its_checkpoints_go(tmp_path: Path) -> None:
    request = replace(PIPELINE, folder=str(tmp_path))
    assert in_child(replace(request, blow=Blow(14))) == -signal.SIGKILL
    done = tmp_path / "work" / "forward" / "lm"
    before = (done / "model" / "metrics.json").stat().st_mtime_ns
    assert not (done / "checkpoints").exists()
    assert in_child(replace(request, resume=True)) == 0
    assert (done / "model" / "metrics.json").stat().st_mtime_ns == before


def test_another_seed_is_refused(tmp_path: Path) -> None:
    request = replace(PIPELINE, folder=str(tmp_path))
    assert in_child(replace(request, blow=Blow(3))) == -signal.SIGKILL
    mark = json.loads((tmp_path / "work" / "run.json").read_text(encoding="utf-8"))
    assert mark["seed"] == 0
    assert in_child(replace(request, resume=True, seed=1)) == 2
    assert (tmp_path / "error.txt").read_text(encoding="utf-8") == (
        f"SettingsError: the run in '{tmp_path / 'work'}' differs in seed: 0, now 1. Give the "
        "same data, settings and --precision to resume it, or leave --resume out to start again."
    )
