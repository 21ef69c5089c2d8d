"""What has a name is on the disk: a power failure leaves the old or the new, never half."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ulmfit.storage import atomic_directory, atomic_write


def disk_events(monkeypatch: pytest.MonkeyPatch) -> list[int | str]:
    """Files and folders by their number when they are synced, by their name when they get it."""
    events: list[int | str] = []
    sync, rename, replace = os.fsync, os.rename, os.replace

    def synced(descriptor: int) -> None:
        sync(descriptor)
        events.append(os.fstat(descriptor).st_ino)

    def renamed(source: Path, target: Path) -> None:
        rename(source, target)
        events.append(Path(target).name)

    def replaced(source: Path, target: Path) -> None:
        replace(source, target)
        events.append(Path(target).name)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(os, "replace", replaced)
    return events


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = disk_events(monkeypatch)
    atomic_write(tmp_path / "file", b"one")
    written = (tmp_path / "file").stat().st_ino
    assert events == [written, "file", tmp_path.stat().st_ino]


def test_all_of_a_folder_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = disk_events(monkeypatch)
    with atomic_directory(tmp_path / "folder") as draft:
        (draft / "inner").mkdir()
        (draft / "inner" / "file").touch()
    named = events.index("folder")
    parts = [tmp_path / "folder", *(tmp_path / "folder").rglob("*")]
    assert {path.stat().st_ino for path in parts} <= {*events[:named]}
    assert str(events[named - 1]).endswith(".ulmfit-whole"), "not to be deleted any more"
    assert events[named + 1 :] == [tmp_path.stat().st_ino]
