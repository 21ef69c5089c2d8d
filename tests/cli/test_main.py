from __future__ import annotations

import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "ulmfit"]


def test_usage_errors_exit_with_2_and_go_to_stderr() -> None:
    done = subprocess.run([*COMMAND, "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "Usage: ulmfit check [OPTIONS] DATA\nTry 'ulmfit check -h' for help.\n\n"
        "Error: Missing argument 'DATA'.\n"
    )


@pytest.mark.parametrize("arguments", [["check", "name:trec6"], ["train", "--help"]])
def test_a_reader_that_goes_away_is_no_error(arguments: list[str]) -> None:
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as errors:
        assert errors.read() == ""
    assert process.wait(60) in (0, 1)
