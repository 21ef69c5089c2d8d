"""The load of `benchmarks/service_load.py`, for a moment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.service_load import main


def loaded(model: Path, out: Path, *options: str) -> dict[str, dict[str, str]]:
    assert main([str(model), "--out", str(out), *options]) == 0
    (path,) = out.iterdir()
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def test_many_clients_get_the_right_answers(model_folder: Path, tmp_path: Path) -> None:
    found = loaded(model_folder, tmp_path, "--clients", "64", "--seconds", "2")
    assert set(found["statuses"]) == {"200"}
    assert list(found["refusals"].values()) == [
        "422: the request has 1,001 texts; at most 1,000 (the limit `texts`)",
        "422: text 1 has 500,001 characters; at most 500,000 (the limit `chars`)",
        "413: the request's body has 4,194,316 bytes or more; at most 4,194,304 bytes "
        "(the limit `body_bytes`)",
        '422: the body is not JSON; a JSON object such as {"text": "..."}',
    ]


@pytest.mark.slow
def test_more_than_can_wait_is_told_to_come_back(model_folder: Path, tmp_path: Path) -> None:
    options = ("--clients", "64", "--seconds", "5", "--max-waiting", "16")
    assert set(loaded(model_folder, tmp_path, *options)["statuses"]) == {"200", "429"}
