"""The second direction in a process of its own: the same models, and nothing goes on alone."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from tests.displays import Notes
from tests.threads import torch_threads
from ulmfit.apps import side_by_side
from ulmfit.apps.run import TrainingRun
from ulmfit.apps.side_by_side import beside, write_task
from ulmfit.apps.training import train_classifier
from ulmfit.config import Direction
from ulmfit.data.datasets import Dataset
from ulmfit.errors import Interrupted, TrainingError
from ulmfit.runtime import make_accelerator
from ulmfit.settings import ClassifierSettings, FinetuneLMSettings, Settings
from ulmfit.stages.lm_folder import TrainedLM

WORDS = tiny.tokenizer()
LMS: dict[Direction, TrainedLM] = {
    "forward": tiny.trained_lm(WORDS),
    "backward": tiny.trained_lm(WORDS, direction="backward"),
}
DATA = Dataset(*tiny.labelled_texts(250))


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    with torch_threads(2):
        yield


def settings(**classifier: Any) -> Settings:
    lm = {"epochs": 1, "batch_size": 20, "least_steps": 1, "bptt": 6, "min_freq": 1}
    head = {"epochs": 2, "batch_size": 40, "chunk": 5, "head_size": 5, **classifier}
    return Settings(
        finetune_lm=FinetuneLMSettings.model_validate(lm),
        classifier=ClassifierSettings.model_validate(head),
    )


def training_run(work: Path, *, resume: bool = False) -> TrainingRun:
    return TrainingRun(work, make_accelerator(cpu=True), Notes(), resume=resume)


def notes(run: TrainingRun) -> str:
    assert isinstance(run.display, Notes)
    return "\n".join(run.display.lines)


def weights(work: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(work)): path.read_bytes()
        for path in sorted(work.glob("*/*/model/model.safetensors"))
    }


def test_both_processes_make_the_models_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    alone = training_run(tmp_path / "alone")
    expected = train_classifier(DATA, LMS, settings(), alone).predict_proba(DATA.texts)
    torch.set_num_threads(2)
    monkeypatch.setattr(side_by_side, "WORTH_A_PROCESS", 0)
    both = training_run(tmp_path / "both")
    found = train_classifier(DATA, LMS, settings(), both).predict_proba(DATA.texts)
    assert "another process" in notes(both)
    assert "another process" not in notes(alone)
    ours, theirs = weights(tmp_path / "both"), weights(tmp_path / "alone")
    assert {name: ours[name] for name in theirs} == theirs
    assert (found == expected).all()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("direction", LMS)
def test_what_is_left_of_both_has_the_threads_it_had(
    direction: Direction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Threads(Notes):
        def note(self, text: str) -> None:
            super().note(f"{torch.get_num_threads()}: {text}")

    monkeypatch.setattr(side_by_side, "WORTH_A_PROCESS", 0)
    first = train_classifier(DATA, LMS, settings(), training_run(tmp_path))
    shutil.rmtree(tmp_path / direction)
    run = training_run(tmp_path, resume=True).with_display(Threads())
    again = train_classifier(DATA, LMS, settings(), run)
    assert f"1: {direction} classifier: " in notes(run)
    assert (first.predict_proba(DATA.texts) == again.predict_proba(DATA.texts)).all()
    assert torch.get_num_threads() == 2


def test_what_stops_the_child_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "WORTH_A_PROCESS", 0)
    # Only the child reads this file, when both have begun.
    run = training_run(tmp_path)

    def broken(task: Path, run: TrainingRun, what: Any) -> None:
        write_task(task, run, {**what, "settings": settings(pool_tokens=2).model_dump(mode="json")})

    monkeypatch.setattr("ulmfit.apps.direction.write_task", broken)
    with pytest.raises(ValueError, match=r"classifier\.pool_tokens is 2: expected at least"):
        train_classifier(DATA, LMS, settings(), run)


def started(work: Path, code: str) -> Any:
    """A child that runs a module of the given code."""
    run = training_run(work)
    work.mkdir(parents=True, exist_ok=True)
    (work / "sleeper.py").write_text(code)
    task = work / "task.json"
    write_task(task, run, {})
    return beside(run, task, "sleeper", "sleeper")


@pytest.fixture
def _importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))


def test_the_child_imports_what_the_parent_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "torch.py").write_text("raise RuntimeError('a file of the user')\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(str(tmp_path))  # as a notebook may have done; no variable says it
    with started(tmp_path, "import torch, tests.tiny, ulmfit.apps.direction\n"):
        pass


@pytest.mark.usefixtures("_importable")
def test_a_child_that_is_killed_is_named(tmp_path: Path) -> None:
    code = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    with (
        pytest.raises(TrainingError, match="process of the sleeper was ended by signal 9"),
        started(tmp_path, code),
    ):
        pass


@pytest.mark.usefixtures("_importable")
def test_a_child_that_is_told_to_stop_has_not_run_out_of_memory(tmp_path: Path) -> None:
    code = "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n"
    with pytest.raises(Interrupted) as caught, started(tmp_path, code):
        pass
    assert str(caught.value) == ("the process of the sleeper was told to stop. --resume goes on.")


@pytest.mark.usefixtures("_importable")
@pytest.mark.parametrize("inside", [True, False], ids=["at work", "waiting"])
def test_a_second_ctrl_c_stops_at_once(tmp_path: Path, inside: bool) -> None:
    mark = tmp_path / "stopping"
    code = (
        "import pathlib, os, signal, time\n"
        f"path = pathlib.Path({str(mark)!r})\n"
        # a checkpoint that takes long, and a user who does not want to wait for it
        "def again(*_):\n"
        "    os.kill(os.getppid(), signal.SIGINT)\n"
        "    time.sleep(60)\n"
        "signal.signal(signal.SIGTERM, again)\n"
        "path.write_text(str(os.getpid()))\n"
        "time.sleep(0.5)\n"
        f"{'' if inside else 'os.kill(os.getppid(), signal.SIGINT)'}\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(KeyboardInterrupt), started(tmp_path, code):
        _wait_for(mark)
        begin = time.monotonic()
        if inside:
            raise KeyboardInterrupt
    assert time.monotonic() - begin < 10
    assert not _runs(int(mark.read_text()))


@pytest.mark.usefixtures("_importable")
def test_a_child_with_a_fault_that_is_no_error_of_ours_is_quoted(tmp_path: Path) -> None:
    with (
        pytest.raises(TrainingError, match=r"ended with code 1 \(RuntimeError: out of luck\)"),
        started(tmp_path, "raise RuntimeError('out of luck')\n"),
    ):
        pass


@pytest.mark.usefixtures("_importable")
def test_the_child_is_stopped_with_the_block(tmp_path: Path) -> None:
    mark = tmp_path / "stopped"
    code = (
        "import pathlib, signal, sys, time\n"
        f"path = pathlib.Path({str(mark)!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: (path.write_text('yes'), sys.exit(130)))\n"
        "path.write_text('no')\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(KeyError), started(tmp_path, code):
        _wait_for(mark)
        raise KeyError("something of the block's own")
    assert mark.read_text() == "yes"


@pytest.mark.usefixtures("_importable")
def test_a_parent_that_is_told_to_end_while_it_waits_lets_the_child_save(tmp_path: Path) -> None:
    mark = tmp_path / "stopped"
    code = (
        "import pathlib, os, signal, sys, time\n"
        f"path = pathlib.Path({str(mark)!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: (path.write_text('yes'), sys.exit(130)))\n"
        "path.write_text('no')\n"
        "os.kill(os.getppid(), signal.SIGTERM)\n"
        "time.sleep(60)\n"
    )
    found: list[str] = []  # what the child had done when the signal had its way
    before = signal.signal(signal.SIGTERM, lambda *_: found.append(mark.read_text()))
    try:
        stopped = pytest.raises(Interrupted, match="process of the sleeper was told to stop")
        with stopped, started(tmp_path, code):
            pass
    finally:
        signal.signal(signal.SIGTERM, before)
    assert found == ["yes"]


@pytest.mark.usefixtures("_importable")
def test_the_child_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    mark = tmp_path / "child.pid"
    (tmp_path / "sleeper.py").write_text(
        "import os, pathlib, sys, time\n"
        "from ulmfit.apps.side_by_side import child_run\n"
        "with child_run(sys.argv[1:]):\n"
        f"    pathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "parent.py").write_text(
        "import pathlib, time\n"
        "from ulmfit.apps.run import TrainingRun\n"
        "from ulmfit.apps.side_by_side import beside, write_task\n"
        "from ulmfit.runtime import make_accelerator\n"
        "from ulmfit.train.tracker import Silent\n"
        f"work = pathlib.Path({str(tmp_path)!r})\n"
        "run = TrainingRun(work, make_accelerator(cpu=True), Silent())\n"
        "write_task(work / 'task.json', run, {})\n"
        "with beside(run, work / 'task.json', 'sleeper', 'sleeper'):\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py")])
    _wait_for(mark)
    child = int(mark.read_text())
    parent.kill()
    parent.wait()
    for _ in range(200):
        if not _runs(child):
            return
        time.sleep(0.05)
    raise AssertionError("the child goes on")


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _wait_for(path: Path) -> None:
    for _ in range(1200):
        if path.exists() and path.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} does not come")
