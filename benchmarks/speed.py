"""Speed on this machine, each against a bound measured beside it: `make bench`.

Machines differ and are shared, so that the ratio is what counts: work done per second here against
work per second of the bare kernel that the work cannot do without. Measured work and bound
alternate, and every one of `--repeats` pairs gives a ratio.

Writes benchmarks/results/<date>-<cores>cpu.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tokenizers
import torch
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import nn

from ulmfit.config import ClassifierConfig, Dropouts, LMConfig
from ulmfit.data.datasets import load_dataset
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel
from ulmfit.model.language_model import LanguageModel
from ulmfit.model.softmax import full_softmax_loss
from ulmfit.runtime import cpu_count, seed_everything
from ulmfit.train.evaluate import predict_logits

ROOT = Path(__file__).resolve().parent.parent
IMDB = ROOT.parent / "shared" / "data" / "imdb" / "train.parquet"
PAPER = LMConfig(vocab_size=30_000)  # 400 / 1150 x 3, the paper's sizes
BATCH, STEPS = 64, 70
DOCUMENTS = 64  # for classifying
REVIEWS = 5_000  # for tokenizing


@dataclass(frozen=True)
class Ratio:
    """One measurement.

    Attributes:
        what: the work.
        bound: what it cannot be faster than.
        unit: of both rates.
        rate: median work per second.
        bound_rate: median of the bound per second.
        ratio: median of work / bound over the pairs.
        ratio_range: smallest and largest of these.
    """

    what: str
    bound: str
    unit: str
    rate: float
    bound_rate: float
    ratio: float
    ratio_range: tuple[float, float]


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(
    what: str,
    work: Callable[[], object],
    bound: str,
    bound_work: Callable[[], object],
    *,
    items: int,
    unit: str,
    repeats: int,
) -> Ratio:
    """Time both in turns, after one call each to warm up."""
    print(f"{what} ...", file=sys.stderr, flush=True)
    work(), bound_work()
    pairs = [(seconds(work), seconds(bound_work)) for _ in range(repeats)]
    ratios = [theirs / ours for ours, theirs in pairs]
    return Ratio(
        what,
        bound,
        f"{unit}/s",
        rate=items / statistics.median(ours for ours, _ in pairs),
        bound_rate=items / statistics.median(theirs for _, theirs in pairs),
        ratio=statistics.median(ratios),
        ratio_range=(min(ratios), max(ratios)),
    )


def tokenizing(texts: list[str], repeats: int) -> Ratio:
    """All text rules against a plain split at white space by the same Rust library."""
    ours = Tokenizer.train(texts, vocab_size=PAPER.vocab_size)
    plain = tokenizers.Tokenizer(WordLevel({"xxunk": 0}, unk_token="xxunk"))
    plain.pre_tokenizer = WhitespaceSplit()
    frozen = ours.to_json()
    return compare(
        "tokenize with all rules",
        lambda: Tokenizer.from_json(frozen).encode_batch(texts),
        "split at white space in Rust",
        lambda: plain.encode_batch_fast(texts),
        items=len(texts),
        unit="documents",
        repeats=repeats,
    )


def bare_lstms() -> nn.ModuleList:
    """The kernels of the encoder and nothing else."""
    return nn.ModuleList(
        nn.LSTM(n_in, n_out, batch_first=True) for n_in, n_out in PAPER.layer_sizes()
    )


def training_step(repeats: int) -> Ratio:
    """A step of the language model, softmax and optimiser included, against bare LSTMs."""
    model, bare = LanguageModel(PAPER, Dropouts()), bare_lstms()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    tokens = torch.randint(PAPER.vocab_size, (BATCH, STEPS))
    targets = torch.randint(PAPER.vocab_size, (BATCH * STEPS,))
    embedded = torch.randn(BATCH, STEPS, PAPER.emb_size)
    weight, bias = model.encoder.embedding.weight, model.decoder_bias

    def step() -> None:
        output = model(tokens, model.encoder.initial_state(BATCH))
        loss = full_softmax_loss(output.dropped.flatten(0, 1), targets, weight, bias)
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()

    def kernels() -> None:
        x = embedded
        for lstm in bare:
            x, _ = lstm(x)
        torch.autograd.backward(x.sum())

    return compare(
        "train the language model (400/1150 x 3, 30,000 words)",
        step,
        "its LSTMs alone, forward and backward",
        kernels,
        items=BATCH * STEPS,
        unit="tokens",
        repeats=repeats,
    )


def classifying(texts: list[str], repeats: int) -> Ratio:
    """Documents as they come, against the LSTMs alone on as many tokens without padding."""
    config = ClassifierConfig(lm=PAPER, n_classes=2)
    model = TextClassifierModel(config, Dropouts(), HeadDropouts()).eval()
    tokenizer = Tokenizer.train(texts, vocab_size=PAPER.vocab_size)
    documents = [np.asarray(ids) for ids in tokenizer.encode_batch(texts[:DOCUMENTS])]
    steps = sum(map(len, documents)) // DOCUMENTS
    bare, embedded = bare_lstms(), torch.randn(DOCUMENTS, steps, PAPER.emb_size)

    @torch.no_grad()
    def kernels() -> None:
        x = embedded
        for lstm in bare:
            x, _ = lstm(x)

    return compare(
        f"classify {DOCUMENTS} documents of {steps} tokens on average",
        lambda: predict_logits(model, documents),
        "its LSTMs alone, forward, no padding",
        kernels,
        items=DOCUMENTS,
        unit="documents",
        repeats=repeats,
    )


def hardware() -> dict[str, object]:
    """What the numbers depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    packages = ("ulmfit", "torch", "tokenizers", "numpy")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def commit() -> str:
    """The commit that was measured; says so when files were changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> None:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="pairs of runs (default 5)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    seed_everything(0)
    source = str(IMDB) if IMDB.exists() else "name:trec6"
    texts = load_dataset(source).texts[:REVIEWS]
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    load_before = os.getloadavg()[0]
    ratios = [
        tokenizing(texts, options.repeats),
        training_step(options.repeats),
        classifying(texts, options.repeats),
    ]
    results = {
        "command": f"python -m benchmarks.speed --repeats {options.repeats}",
        "date": date,
        "commit": commit(),
        "texts": f"{len(texts)} of {'imdb' if IMDB.exists() else source}",
        "hardware": hardware(),
        "load_before": load_before,
        "results": [asdict(ratio) for ratio in ratios],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{date}-{cpu_count()}cpu.json"
    path.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    for ratio in ratios:
        low, high = ratio.ratio_range
        print(f"{ratio.what}: {ratio.rate:,.0f} {ratio.unit}")
        print(f"    {ratio.ratio:.2f} [{low:.2f}..{high:.2f}] of {ratio.bound}")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
