"""The service compiles code for each new shape of a batch, and must not keep all of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# A process of its own: oneDNN reads the variable once. A tiny classifier's products are too small
# for oneDNN to compile anything: once it is loaded, a larger LSTM takes its place.
SCRIPT = """
import os, sys
from pathlib import Path
from ulmfit.apps.serve.server import ServeSettings, load_app

load_app(ServeSettings(Path(sys.argv[1])))
import torch

def private():
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))

lstm = torch.nn.LSTM(16, 16, batch_first=True).eval()
shapes = [(rows, words) for words in range(1, 41) for rows in range(1, 9)]
with torch.inference_mode():
    for rows, words in shapes[:80]:
        lstm(torch.zeros(rows, words, 16))
    before = private()
    for rows, words in shapes[80:]:
        lstm(torch.zeros(rows, words, 16))
print(os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"], private() - before)
"""


def grown(model: Path, **environment: str) -> tuple[str, int]:
    """The variable, and KiB of private memory that 240 new shapes took."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(model)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    value, size = done.stdout.split()
    return value, int(size)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_new_shapes_of_batches_take_little_memory(model_folder: Path) -> None:
    value, kept = grown(model_folder)
    assert value == "64"
    value, all_kept = grown(model_folder, ONEDNN_PRIMITIVE_CACHE_CAPACITY="1024")
    assert value == "1024"  # who set it knows better
    assert kept < all_kept / 3
