"""Time and memory against length, corpus, vocabulary and labels: `make curves`.

    python -m benchmarks.cost_curves                 measure, draw, write docs/performance.md
    python -m benchmarks.cost_curves --from FILE     draw and write from a results file

Every point runs in a process of its own. The exponent p of a curve, cost ~ n^p, is the slope
between its larger points in logarithms: the constant part of the cost is gone there. Linear is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.measuring import say
from ulmfit.runtime import cpu_count

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
FITTED = 3  # points of the upper end that give the exponent
LINEAR = 1.1  # an exponent up to here is called linear: repeats differ by so much
FLAT_BYTES = 50_000_000  # a peak that grows by less over the whole curve is flat


@dataclass(frozen=True)
class Curve:
    """What varies, in which steps, and what is done with it."""

    name: str
    axis: str
    work: str
    values: tuple[int, ...]


CURVES = (
    Curve("predict-length", "tokens of the document", "classify one document",
          (250, 1_000, 4_000, 16_000, 64_000)),
    Curve("train-length", "tokens of each document", "train on 8 documents",
          (100, 400, 1_600, 6_400)),
    Curve("corpus", "documents", "tokenise and pack a corpus",
          (2_000, 8_000, 32_000, 128_000)),
    Curve("stream", "tokens of the corpus", "a language model step",
          (100_000, 1_000_000, 10_000_000)),
    Curve("vocabulary", "words", "a language model step",
          (5_000, 15_000, 45_000, 135_000)),
    Curve("labels", "labels", "a classifier step",
          (2, 16, 128, 1_024, 8_192)),
)  # fmt: skip
SMOKE = (
    Curve("predict-length", "tokens of the document", "classify one document", (50, 200)),
    Curve("labels", "labels", "a classifier step", (2, 16)),
)


def measure(curves: tuple[Curve, ...], threads: int) -> list[dict[str, Any]]:
    """All points of all curves, with their exponents."""
    found = []
    for curve in curves:
        points = []
        for value in curve.values:
            points.append(point(curve.name, value, threads))
            say(f"{curve.name} {value:,}: {points[-1]['seconds']:.3g} s, "
                f"{points[-1]['bytes'] / 1e6:,.0f} MB")  # fmt: skip
        found.append(summed_up(curve, points))
    return found


def point(name: str, value: int, threads: int) -> dict[str, float]:
    """One point, in a process of its own."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": str(ROOT / "src"),
    }
    command = [sys.executable, "-m", "benchmarks.workers.cost_point", name, str(value)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    read: dict[str, float] = json.loads(done.stdout)
    return read


def summed_up(curve: Curve, points: list[dict[str, float]]) -> dict[str, Any]:
    """A curve as a JSON value: its points, its exponents, and whether they are at most linear."""
    seconds = [p["seconds"] for p in points]
    peaks = [p["bytes"] for p in points]
    grown = max(peaks) - min(peaks)
    memory = 0.0 if grown < FLAT_BYTES else exponent(curve.values, peaks)
    time = exponent(curve.values, seconds)
    return {
        "name": curve.name,
        "axis": curve.axis,
        "work": curve.work,
        "values": list(curve.values),
        "seconds": seconds,
        "bytes": peaks,
        "time_exponent": time,
        "memory_exponent": memory,
        "linear_or_better": time <= LINEAR and memory <= LINEAR,
    }


def exponent(values: tuple[int, ...], costs: list[float]) -> float:
    """Slope of log cost over log value at the upper end, by least squares."""
    x = np.log(np.array(values[-FITTED:], dtype=np.float64))
    y = np.log(np.maximum(np.array(costs[-FITTED:], dtype=np.float64), 1e-9))
    return float(np.polyfit(x, y, 1)[0])


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=cpu_count())
    parser.add_argument("--smoke", action="store_true", help="two short curves, to test this")
    parser.add_argument("--from", dest="file", type=Path, help="results file to draw again")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results file")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the page")
    return parser.parse_args()


def main() -> None:
    """Measure unless there is a file, then draw and write the page."""
    from benchmarks.curve_page import write_page

    options = parse()
    if options.file is not None:
        path = options.file
        results = json.loads(path.read_text("utf-8"))
    else:
        load = machine.load()
        curves = measure(SMOKE if options.smoke else CURVES, options.threads)
        results = {
            "command": f"python -m benchmarks.cost_curves {' '.join(sys.argv[1:])}".strip(),
            "date": machine.today(),
            "commit": machine.commit(),
            "hardware": machine.hardware(),
            "threads": options.threads,
            "load_before": load,
            "curves": curves,
        }
        options.out.mkdir(parents=True, exist_ok=True)
        path = options.out / f"{results['date']}-{machine.cpu_name()}-curves.json"
        path.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    write_page(results, path.name, options.docs)
    say(f"written: {path} and {options.docs / 'performance.md'}")


if __name__ == "__main__":
    main()
