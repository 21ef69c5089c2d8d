"""Locks: one process at a time, the other one is told which; a dead process holds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ulmfit.errors import SettingsError, StorageError
from ulmfit.locks import alone_in, only_run

HOLDER = """
import sys, time
from pathlib import Path
from ulmfit.locks import only_run
with only_run(Path(sys.argv[1]), "lock"):
    print("held", flush=True)
    time.sleep(60)
"""


ADDER = """
import sys
from pathlib import Path
from ulmfit.locks import alone_in
path = Path(sys.argv[1]) / "count"
for _ in range(200):
    with alone_in(path.parent):
        path.write_text(str(int(path.read_text() or "0") + 1 if path.exists() else 1))
"""


def test_processes_in_the_same_folder_wait_for_one_another(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    command = [sys.executable, "-c", ADDER, str(folder)]
    adders = [subprocess.Popen(command) for _ in range(2)]
    assert [adder.wait() for adder in adders] == [0, 0]
    assert (folder / "count").read_text() == "400"
    assert [path.name for path in folder.iterdir()] == ["count"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match=r"cannot write .*file/new"),
        alone_in(tmp_path / "file" / "new"),
    ):
        pass


def test_a_second_process_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(SettingsError) as caught, only_run(tmp_path, "lock"):
        pass
    assert str(caught.value) == (
        f"another run (process {holder.pid}) is at work in '{tmp_path}': expected one run at a "
        "time in a folder. Wait until it is done, stop it, or choose another folder with --out."
    )
    assert (tmp_path / "lock").exists()
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    # Its file is still there, its lock is not.
    assert (tmp_path / "lock").read_text() == str(holder.pid)
    with only_run(tmp_path, "lock"):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
    assert not (tmp_path / "lock").exists()


def test_the_folder_may_be_new_and_may_go_away(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "work"
    with only_run(folder, "lock"):
        (folder / "lock").unlink()
        folder.rmdir()
    assert not folder.exists()


def test_a_lock_whose_file_was_replaced_is_left_to_its_new_holder(tmp_path: Path) -> None:
    with only_run(tmp_path, "lock"):
        (tmp_path / "lock").unlink()
        with only_run(tmp_path, "lock"):
            pass
        (tmp_path / "lock").write_text("somebody else's")
    assert (tmp_path / "lock").exists()


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match=r"^cannot write '.*lock': (not a directory|file exists)"),
        only_run(tmp_path / "file" / "work", "lock"),
    ):
        pass
