"""How many kills and broken inputs were tried, and how many went well: a file of results.

`make test-slow` names the file in the environment variable RELIABILITY; docs/reliability.md quotes
it. Without the variable nothing is written.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = "RELIABILITY"

Counts = dict[str, dict[str, object]]
_counts: Counts = {}


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


# Of the beginning: what is edited while the tests run is not what they test.
COMMIT = _commit() if FILE in os.environ else ""


def record(what: str, test: str, *, tried: int, survived: int, **more: object) -> None:
    """Note the outcome of many tries of one kind.

    Args:
        what: such as "kills: pretrain".
        test: the pytest id that anyone can run to see it again.
        tried: how many.
        survived: of them, how many ended as they should.
        more: other figures, by name.
    """
    counts = {"tried": tried, "survived": survived, **more}
    _counts[what] = {**counts, "command": f"pytest {test}", "commit": COMMIT}


def write() -> None:
    """Put what was noted into the file, beside what other runs left there."""
    name = os.environ.get(FILE)
    if not name or not _counts:
        return
    path = ROOT / name
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    content = {
        "command": "make test-slow",
        "python": platform.python_version(),
        "torch": version("torch"),
        "processor": platform.machine(),
        "results": dict(sorted({**before.get("results", {}), **_counts}.items())),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
