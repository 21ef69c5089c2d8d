"""What numbers depend on: processor, threads, versions, load, commit."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path

from ulmfit.runtime import cpu_count

ROOT = Path(__file__).resolve().parent.parent


def hardware() -> dict[str, object]:
    """Processor and system."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {name.strip(): value.strip() for name, value in fields.items()}
    flags = named.get("flags", "").split()
    return {
        "cpu": named.get("model name", platform.machine()),
        "cores": cpu_count(),
        "instructions": [name for name in WIDE if name in flags],
        "system": platform.system(),
        "python": platform.python_version(),
    }


# Instruction sets that matrix products use.
WIDE = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")


def cpu_name() -> str:
    """The processor as part of a file name."""
    name = re.sub(r"\(.*?\)|\bCPU\b|@.*", " ", str(hardware()["cpu"])).lower()
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-") + f"-{cpu_count()}"


def commit() -> str:
    """The commit that was measured; says so when files were changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def today() -> str:
    """The date, in UTC."""
    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()


def load() -> float:
    """Processes that wanted to run in the last minute; more than none before a run disturbs it."""
    return os.getloadavg()[0]
