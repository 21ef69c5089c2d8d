from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_characters_that_the_output_does_not_have_are_escaped(
    tmp_path: Path, options: list[str]
) -> None:
    path = tmp_path / "x.csv"
    rows = [f"{'a film ' * 30}{i},{label}" for i in range(9) for label in ("긍정", "👍é")]
    path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(
        [*COMMAND, "check", path, *options], capture_output=True, env=environment, check=False
    )
    assert done.returncode == 0, done
    assert b"\\u" in done.stdout
    if options:
        assert {"긍정", "👍é"} <= set(re.findall("긍정|👍é", str(json.loads(done.stdout))))


def test_without_typer_it_is_said_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None; from ulmfit.__main__ import run"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: the command line needs the package 'typer', which is not installed\n"
        "  Install it with `pip install pyarrow rich typer`.\n"
    )
