"""Records in the log, and how fast things go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ulmfit.errors import StorageError
from ulmfit.train.tracker import Speed, Tracker, clock


def test_records_are_lines_of_json_with_all_digits(tmp_path: Path) -> None:
    log = tmp_path / "new" / "log.jsonl"
    tracker = Tracker(log)
    assert tracker.position() == 0
    tracker.record(step=1, loss=0.1 + 0.2)
    assert tracker.position() == log.stat().st_size
    tracker.record(step=2, name="größer")
    lines = log.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "loss": 0.1 + 0.2},
        {"step": 2, "name": "größer"},
    ]


def test_an_old_log_is_continued(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    for step in (1, 2):
        tracker = Tracker(log)
        tracker.record(step=step)
    assert log.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_rewinding_cuts_and_never_adds(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    tracker = Tracker(log)
    tracker.rewind(0)  # there is no log yet
    tracker.record(step=1)
    there = tracker.position()
    tracker.record(step=2)
    tracker.rewind(there)
    assert log.read_text() == '{"step": 1}\n'
    # A log that lost its end with the machine must not be filled up with zeros.
    tracker.rewind(there + 100)
    tracker.record(step=3)
    assert log.read_text() == '{"step": 1}\n{"step": 3}\n'


def test_without_a_file_nothing_is_written() -> None:
    tracker = Tracker()
    tracker.record(step=1)
    tracker.rewind(0)
    assert tracker.position() == 0


def test_a_full_disk_is_a_storage_error() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full on this system")
    tracker = Tracker(full)
    with pytest.raises(StorageError) as caught:
        tracker.record(step=1)
    assert str(caught.value) == (
        "cannot write '/dev/full': no space left on device. "
        "Free some space or choose another place, then resume the run."
    )


def test_speed_is_an_average_over_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    speed = Speed(window=10.0)
    now[0] = 2.0
    assert speed.update(100) == 50.0  # the first one counts in full
    now[0] = 3.0
    assert speed.update(150) == pytest.approx(50 + (150 - 50) / 10)
    now[0] = 23.0  # longer than the window: only this counts
    assert speed.update(200) == pytest.approx(10.0)
    assert speed.update(0) >= 0  # no time has passed


def test_times_are_short() -> None:
    assert [clock(s) for s in (3, 3.4, 3.6, 65, 161, 3723)] == [
        "0:03",
        "0:03",
        "0:04",
        "1:05",
        "2:41",
        "1:02:03",
    ]
