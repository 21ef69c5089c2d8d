"""Record what fastai 2.8 computes, for `tests/model/test_fastai_parity.py`.

    python tests/golden/record_fastai.py --venv DIR           # write the golden files anew
    python tests/golden/record_fastai.py --venv DIR --check   # compare them with a new recording

The script makes a virtual environment in DIR, unless one is there, and installs into it what
`fastai_requirements.txt` pins and fastai itself. fastai is unchanged: its text models run as they
come from the package index. Two of its declared dependencies stay out, torchvision (a CUDA build
of a gigabyte, never imported by `fastai.text`) and spacy (a tokenizer, not needed for ids).

On Linux the package index offers torch with CUDA; the CPU build is enough and far smaller: name
PyTorch's own index in `PIP_EXTRA_INDEX_URL`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
FASTAI = "fastai==2.8.12"


def make_environment(folder: Path) -> Path:
    """Return the Python of the environment in `folder`, made and filled where it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    probe = subprocess.run([python, "-c", "import fastai.text.all"], capture_output=True)
    if probe.returncode != 0:
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "-r", str(HERE / "fastai_requirements.txt")], check=True)
        subprocess.run([*pip, "--no-deps", FASTAI], check=True)
    return python


def record(python: Path, out: Path) -> None:
    """Run the recorder in the environment; one thread, so that a machine repeats itself."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONPATH", None)
    command = [str(python), str(HERE / "fastai_values.py"), "--out", str(out)]
    subprocess.run(command, check=True, env=environment)


def check(python: Path) -> None:
    """Record into a temporary folder and compare with the committed files."""
    with tempfile.TemporaryDirectory() as folder:
        record(python, Path(folder))
        command = [str(python), str(HERE / "fastai_values.py"), "--compare", folder, str(HERE)]
        subprocess.run(command, check=True)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Record golden values from fastai 2.8.")
    parser.add_argument("--venv", type=Path, required=True, help="folder of the environment")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args()
    if options.venv.resolve() == Path(sys.prefix).resolve():
        parser.error("--venv is the environment this runs in: fastai gets one of its own")
    python = make_environment(options.venv.resolve())
    if options.check:
        check(python)
    else:
        record(python, HERE)


if __name__ == "__main__":
    main()
