"""Ways from text to ids, in turns on one core: documents per second of processor time.

The same rules and the same ids every time, but for fastai, whose own they are modelled on:

* fastai 2.8 with spaCy, its default (`--fastai PYTHON`, see ENVIRONMENT.md);
* our `tokenizer.json` in the Rust library alone, as any other program would load it;
* `Tokenizer.encode_batch` with an empty memo, the cost for text never seen;
* the same again, the cost for more text of the kind;
* `build_corpus`, down to the file.

Writes benchmarks/results/<date>-tokenizer.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"  # read when the Rust library starts

import tokenizers

from benchmarks.speed import IMDB, ROOT, commit, hardware
from ulmfit.data.corpus import build_corpus
from ulmfit.data.datasets import load_dataset
from ulmfit.data.tokenizer import Tokenizer

FASTAI = """
import json, sys, time
from fastai.text.core import SpacyTokenizer, TokenizeWithRules
from fastai.basics import defaults
from fastai.text.all import *
texts = json.load(open(sys.argv[1]))
tokenize = TokenizeWithRules(SpacyTokenizer(), rules=defaults.text_proc_rules)
list(tokenize(texts[:20]))
start = time.process_time()
list(tokenize(texts))
print(time.process_time() - start)
"""


def processor_seconds(work: Callable[[], object]) -> float:
    """Processor time of one call, all threads together."""
    start = time.process_time()
    work()
    return time.process_time() - start


def ways(texts: list[str], folder: Path) -> dict[str, Callable[[], float]]:
    """What is measured: name -> one turn, in processor seconds."""
    known = Tokenizer.train(texts)
    frozen = known.to_json()
    plain = tokenizers.Tokenizer.from_str(frozen)
    assert [e.ids for e in plain.encode_batch(texts)] == [
        ids.tolist() for ids in known.encode_batch(texts)
    ]

    def first_time() -> float:
        fresh = Tokenizer.from_json(frozen)
        return processor_seconds(lambda: fresh.encode_batch(texts))

    return {
        "Rust library alone": lambda: processor_seconds(lambda: plain.encode_batch_fast(texts)),
        "encode_batch, first time": first_time,
        "encode_batch, again": lambda: processor_seconds(lambda: known.encode_batch(texts)),
        "build_corpus, again": lambda: processor_seconds(
            lambda: build_corpus(texts, known, folder / "corpus")
        ),
    }


def fastai_seconds(python: str, texts: Path) -> float:
    """One turn of fastai in its own environment, imports apart."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, "-c", FASTAI, str(texts)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return float(done.stdout)


def main() -> None:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="turns (default 5)")
    parser.add_argument("--documents", type=int, default=5000, help="reviews (default 5000)")
    parser.add_argument("--fastai", metavar="PYTHON", help="interpreter that has fastai and spacy")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    source = str(IMDB) if IMDB.exists() else "name:trec6"
    every = load_dataset(source).texts
    texts = every[:: max(1, len(every) // options.documents)]
    few = texts[:: max(1, len(texts) // 300)]

    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        measured = ways(texts, Path(folder))
        (Path(folder) / "few.json").write_text(json.dumps(few))
        for turn in range(options.repeats):
            print(f"turn {turn + 1} of {options.repeats}", file=sys.stderr, flush=True)
            for name, work in measured.items():
                rates.setdefault(name, []).append(len(texts) / work())
            if options.fastai:
                spent = fastai_seconds(options.fastai, Path(folder) / "few.json")
                rates.setdefault("fastai 2.8, spaCy", []).append(len(few) / spent)

    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    base = rates.get("fastai 2.8, spaCy")
    results = {
        "command": f"python -m benchmarks.tokenizer {' '.join(sys.argv[1:])}".strip(),
        "date": date,
        "commit": commit(),
        "texts": f"{len(texts)} of {'imdb' if IMDB.exists() else source}",
        "hardware": hardware(),
        "unit": "documents per second of processor time",
        "results": {
            name: {
                "median": statistics.median(row),
                "range": [min(row), max(row)],
                "times_fastai": statistics.median(row) / statistics.median(base) if base else None,
            }
            for name, row in rates.items()
        },
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{date}-tokenizer.json"
    path.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    for name, row in rates.items():
        factor = f"{statistics.median(row) / statistics.median(base):6.1f} x fastai" if base else ""
        print(f"{name:26} {statistics.median(row):8.0f} documents/s {factor}")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
