"""Language model training on an accelerator, against cuDNN's own LSTM and against fastai's loop.

    python -m benchmarks.gpu                     ours in fp32 and bf16, cuDNN alone
    python -m benchmarks.gpu --fastai PYTHON     and fastai, in that interpreter's environment

Paper size, 400 / 1152 x 3, 30,000 words. Ours is `finetune_lm`, whose loop pretraining has too.
Writes benchmarks/results/<date>-<accelerator>.json. Where there is no CUDA device it says so and
ends with exit code 2.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine, shapes
from benchmarks.comparisons import Goal
from benchmarks.materials import FULL, write_materials
from benchmarks.measuring import BOUND, ratio, say, summary
from benchmarks.processes import Launch, Worker
from ulmfit.config import LMConfig
from ulmfit.data.datasets import Dataset, load_dataset
from ulmfit.runtime import cpu_count

ROOT = Path(__file__).resolve().parent.parent
BATCHES = (64, 256)
STEPS = 30
BPTT = 70


def read_reviews(data: Path) -> tuple[Dataset, list[str]]:
    """Reviews, or TREC's questions over and over where they are not there."""
    if (data / "train.parquet").exists():
        reviews = load_dataset(str(data / "train.parquet"))
        return reviews, reviews.texts[-500:]
    questions = load_dataset("name:trec6")
    return questions, questions.texts[-500:]


def sides(batch: int, with_fastai: bool) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Name -> worker, job, arguments."""
    common = {"size": "paper", "batch": batch, "steps": STEPS}
    ours = {
        f"ours, {softmax} softmax, {precision}": (
            "ours", "lm_train", {**common, "softmax": softmax, "precision": precision}
        )
        for softmax in ("sampled", "full")
        for precision in ("float32", "bf16")
    }  # fmt: skip
    layers = LMConfig(vocab_size=FULL.vocab_size, emb_size=400, hidden_size=1152).layer_sizes()
    alone = {"layers": layers, "rows": batch, "steps": BPTT, "times": STEPS}
    cudnn = {
        f"cuDNN alone, {kind}": (BOUND, "lstm", {**alone, "kind": kind})
        for kind in ("float32", "bfloat16")
    }
    fastai = {"fastai": ("fastai", "lm_train", common)} if with_fastai else {}
    return {**ours, **cudnn, **fastai}


def measure(workers: dict[str, Worker], batch: int, repeats: int) -> dict[str, Any]:
    """All sides in turns at one batch size, in tokens per second."""
    chosen = sides(batch, "fastai" in workers)
    rates: dict[str, list[float]] = {name: [] for name in chosen}
    for turn in range(repeats):
        for name, (worker, job, arguments) in chosen.items():
            answer = workers[worker].ask(job, **arguments)
            rates[name].append(answer["items"] / answer["seconds"])
            say(f"batch {batch}, {turn + 1}/{repeats}, {name}: {rates[name][-1]:,.0f} tokens/s")
    goals = [
        Goal(ours, peer)
        for ours in rates
        for peer in rates
        if ours.startswith("ours") and not peer.startswith("ours")
    ]
    return {
        "batch": batch,
        "gflops_per_token": shapes.flops(
            shapes.encoder(LMConfig(vocab_size=FULL.vocab_size, hidden_size=1152), batch, BPTT,
                           training=True)
        ) / (batch * BPTT) / 1e9,
        "sides": {name: summary(row) for name, row in rates.items()},
        "ratios": [ratio(goal, rates) for goal in goals],
    }  # fmt: skip


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure; the results file as a JSON value."""
    write_materials(folder, *read_reviews(options.data), FULL)
    ours = Launch("ours_side", sys.executable, cpu_count(), "cuda")
    launches = {"ours": ours, BOUND: replace(ours, module="bound_side")}
    if options.fastai:
        launches["fastai"] = replace(ours, module="fastai_side", python=options.fastai)
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(launch, folder)) for name, launch in launches.items()
        }
        versions = {name: worker.ask("versions") for name, worker in workers.items()}
        measured = [measure(workers, batch, options.repeats) for batch in BATCHES]
    return {
        "command": f"python -m benchmarks.gpu {' '.join(sys.argv[1:])}".strip(),
        "date": machine.today(),
        "commit": machine.commit(),
        "hardware": {**machine.hardware(), "accelerator": torch.cuda.get_device_name()},
        "versions": versions,
        "results": measured,
    }


def main() -> int:
    """Measure and write; 2 where there is nothing to measure on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--fastai", metavar="PYTHON", help="interpreter that has fastai and CUDA")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "imdb")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        say("no CUDA device here: nothing was measured (`make bench` measures on the processor)")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        results = run(options, Path(folder))
    name = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-")
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{results['date']}-{name}.json"
    path.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    for measured in results["results"]:
        for side, rate in measured["sides"].items():
            print(
                f"batch {measured['batch']}: {side}: {statistics.fmean(rate['all']):,.0f} tokens/s"
            )
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
