"""The load of `benchmarks/service_load.py`, for a moment, with a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.service_load import main


def loaded(model: Path, out: Path, *options: str) -> dict[str, Any]:
    assert main([str(model), *options, "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert isinstance(found, dict)
    return found


def test_many_clients_get_the_right_answers(model_folder: Path, tmp_path: Path) -> None:
    options = ("clients", "--clients", "64", "--seconds", "2")
    found = loaded(model_folder, tmp_path / "found.json", *options)["clients"]
    assert set(found["statuses"]) == {"200"}
    assert found["command"] == "python -m benchmarks.service_load MODEL clients --seconds 2"
    *refusals, busy = found["refusals"].values()
    assert refusals == [
        "422: the request has 1,001 texts; at most 1,000 (the limit `texts`)",
        "422: text 1 has 500,001 characters; at most 500,000 (the limit `chars`)",
        "413: the request's body has 4,194,316 bytes or more; at most 4,194,304 bytes "
        "(the limit `body_bytes`)",
        '422: the body is not JSON; a JSON object such as {"text": "..."}',
    ]
    assert busy.startswith("429: the service is busy: ")
    assert "; at most " in busy


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_silent_connections_are_kept_and_all_are_answered(
    model_folder: Path, tmp_path: Path, count: int
) -> None:
    options = ("connections", "--connections", str(count), "--silence", "1", "--rounds", "2")
    found = loaded(model_folder, tmp_path / "found.json", *options)["connections"]
    assert found["answered"] == found["statuses"]["200"] == 2 * count
    assert set(found["statuses"]) <= {"200", "429"}
    assert found["sent_whole"] == found["answered_whole"] == found["requests"]
    assert [found[name] for name in ("not_taken", "cut_in_silence", "cut_between")] == [0, 0, 0]


@pytest.mark.slow
def test_a_restart_loses_nothing_and_scenarios_share_a_file(
    model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "found.json"
    options = ("--clients", "16", "--restarts", "2", "--between", "1")
    steady = ("soak", "--soak-seconds", "10", "--rate", "20", "--workers", "2")
    loaded(model_folder, out, "restart", *options)
    main([str(model_folder), *steady, "--out", str(out)])
    found = json.loads(out.read_text())
    assert list(found) == ["soak", "restart"]
    # ten seconds are all warm-up
    assert [one for one in found["soak"]["faults"] if "memory grew" not in one] == []
    assert found["restart"]["restarts"] == 2
    assert set(found["restart"]["statuses"]) == {"200"}
    assert found["restart"]["lost"] == 0
    assert found["soak"]["requests"] == 200
    assert found["soak"]["resident_mib"]["end"] > 100


@pytest.mark.slow
def test_more_than_can_wait_is_told_to_come_back(model_folder: Path, tmp_path: Path) -> None:
    options = ("clients", "--clients", "64", "--seconds", "5", "--max-waiting", "16")
    found = loaded(model_folder, tmp_path / "found.json", *options)
    assert set(found["clients"]["statuses"]) == {"200", "429"}


def test_a_scenario_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["model", "soaking"])
    expected = "there is no scenario 'soaking'; there are clients, soak, connections, restart\n"
    assert capsys.readouterr().err.endswith(expected)
