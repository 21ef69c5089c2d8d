"""What is not needed is not imported: asking for help costs no second of torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"accelerate", "matplotlib", "numpy", "pandas", "pyarrow", "scipy", "sklearn", "torch"}

SHOW = """
import json, sys
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""

RUN = """
import json, sys
from ulmfit.cli.main import run
sys.argv = ["ulmfit", *sys.argv[1:]]
try:
    run()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def imported(code: str, *arguments: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after running some code."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    modules = json.loads(done.stderr.splitlines()[-1])
    return {name.split(".")[0] for name in modules}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["predict", "--help"], ["--version"], ["trian"]]
)
def test_commands_start_light(arguments: list[str]) -> None:
    loaded = imported(RUN, *arguments)
    assert "ulmfit" in loaded
    assert not loaded & HEAVY


def test_importing_the_package_is_light() -> None:
    code = "import ulmfit; ulmfit.__version__" + SHOW
    assert not imported(code) & (HEAVY | {"pydantic", "rich", "typer"})


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ulmfit", "--help"], capture_output=True, text=True, check=True
    )
    assert "Usage: ulmfit" in done.stdout
