"""fastText as a worker, for orientation: a bag of words and pairs, no order beyond that."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fasttext
import numpy as np

from benchmarks.workers.wire import serve

FOLDER = Path(sys.argv[1])
THREADS = int(os.environ["OMP_NUM_THREADS"])
EPOCHS = 5  # its own default


def train(path: Path) -> Any:
    """Its defaults with pairs of words."""
    return fasttext.train_supervised(
        str(path), wordNgrams=2, epoch=EPOCHS, thread=THREADS, verbose=0
    )


def classifier_train(data: str) -> dict[str, Any]:
    """Training on the shared documents, reading them included; a document counts once an epoch."""
    with np.load(FOLDER / f"{data}.npz") as file:
        texts, labels = np.split(file["ids"], file["starts"][1:-1]), file["labels"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        write(path, [" ".join(map(str, text)) for text in texts], labels.tolist())
        started = time.perf_counter()
        train(path)
        return {"seconds": time.perf_counter() - started, "items": EPOCHS * len(texts)}


def write(path: Path, texts: list[str], labels: list[int]) -> None:
    """One document a line, its label first."""
    rows = (f"__label__{label} {text}\n" for text, label in zip(texts, labels, strict=True))
    path.write_text("".join(rows), "utf-8")


@cache
def model() -> Any:
    """A classifier of two classes that has seen the reviews."""
    texts = reviews()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        write(path, texts, [row % 2 for row in range(len(texts))])
        return train(path)


@cache
def reviews() -> list[str]:
    """One line each, as fastText wants them."""
    texts = json.loads((FOLDER / "texts.json").read_text("utf-8"))["reviews"]
    return [" ".join(text.split()) for text in texts]


def predict_bulk() -> dict[str, Any]:
    """All reviews at once."""
    used, texts = model(), reviews()
    started = time.perf_counter()
    used.predict(texts)
    return {"seconds": time.perf_counter() - started, "items": len(texts)}


def versions() -> dict[str, Any]:
    """What runs here."""
    return {"fasttext": version("fasttext-wheel"), "numpy": np.__version__}


if __name__ == "__main__":
    jobs = {"classifier_train": classifier_train, "predict_bulk": predict_bulk}
    serve({**jobs, "versions": versions})
