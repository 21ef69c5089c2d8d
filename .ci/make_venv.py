"""Make a virtual environment with whatever this machine offers for it.

Run by `make install`, with the bare interpreter: only the standard library, and no syntax newer
than Python 3.11.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

HELP = """\
This Python cannot make a virtual environment: {why}.
Do one of these, then run make again:
  Debian, Ubuntu:  sudo apt-get install python3-venv
  elsewhere:       install the 'venv' and 'ensurepip' modules of your Python, or 'virtualenv'
"""


def has(module: str) -> bool:
    """Whether the interpreter that runs this has a module."""
    return importlib.util.find_spec(module) is not None


def works(folder: Path) -> bool:
    """Whether the folder is an environment that runs and was made where it stands now."""
    try:
        done = subprocess.run([str(folder / "bin" / "pip"), "--version"], capture_output=True)
        return done.returncode == 0 and str(folder.resolve()).encode() in done.stdout
    except OSError:
        return False


def ways(folder: Path) -> list[list[list[str]]]:
    """The commands that may make an environment here, the plainest first."""
    python, name = sys.executable, str(folder)
    found = []
    if has("venv") and has("ensurepip"):
        found.append([[python, "-m", "venv", name]])
    if has("virtualenv"):
        found.append([[python, "-m", "virtualenv", "--quiet", name]])
    if has("venv") and has("pip"):
        inner = str(folder / "bin" / "python")
        found.append(
            [
                [python, "-m", "venv", "--without-pip", name],
                [python, "-m", "pip", "--python", inner, "install", "--quiet", "pip"],
            ]
        )
    return found


def main(folder: Path) -> int:
    """Make the environment; keep one that works; returns the exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this runs on whatever the machine has
        sys.stderr.write(f"ulmfit needs Python 3.11 or newer, this is {sys.version.split()[0]}\n")
        return 1
    if works(folder):
        return 0
    why = "it has neither 'venv' with 'ensurepip' nor 'virtualenv'"
    for commands in ways(folder):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            for command in commands:
                subprocess.run(command, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            why = f"'{' '.join(error.cmd)}' failed:\n{error.stdout}{error.stderr}".rstrip()
            continue
        if works(folder):
            return 0
    shutil.rmtree(folder, ignore_errors=True)
    sys.stderr.write(HELP.format(why=why))
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
