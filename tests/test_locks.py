"""Locks: one process at a time, the other one is told which; a dead process holds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ulmfit.errors import SettingsError, StorageError
from ulmfit.locks import only_run

HOLDER = """
import sys, time
from pathlib import Path
from ulmfit.locks import only_run
with only_run(Path(sys.argv[1]), "lock"):
    print("held", flush=True)
    time.sleep(60)
"""


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
