"""A service under load, every answer compared with the model's own.

    python -m benchmarks.service_load MODEL                   all, about twenty minutes
    python -m benchmarks.service_load MODEL clients restart   only these

clients      many at once, without a pause; then requests beyond each limit, which must be refused
soak         a steady rate for ten minutes: memory must not grow
connections  a thousand held open in silence; all ask at the same moment, and again when they like
restart      stopped while clients ask, and the next process started on the same port at once

Each starts `ulmfit serve` on a free port of this machine. The texts are the test questions of
TREC-6, one to eight a request. A client that is told to come back (429, and 503 of a service that
ends) does so; one that finds nobody listening, or its connection ended before it sent anything,
tries again. All else that is no whole answer is a fault, and so is one that is not the model's own.

Writes benchmarks/results/service.json, beside the scenarios that other runs left there, and exits
with 1 where there was a fault. Memory is read from /proc, which only Linux has.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.load.asking import Questions
from benchmarks.load.scenarios import SCENARIOS
from benchmarks.load.serving import NotServedError, Service
from benchmarks.machine import commit, hardware, today
from benchmarks.machine import load as load_average
from ulmfit.apps.predictor import Predictor
from ulmfit.data.datasets import load_dataset

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "benchmarks" / "results" / "service.json"


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("model", type=Path, help="model folder")
    made.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; default all"
    )
    made.add_argument("--clients", type=int, default=64, help="at once")
    made.add_argument("--seconds", type=float, default=60, help="that the clients ask")
    made.add_argument("--at-once", type=int, default=600, help="large requests, to be refused")
    made.add_argument("--soak-seconds", type=float, default=600)
    made.add_argument("--rate", type=float, default=20, help="requests per second of the soak")
    made.add_argument("--connections", type=int, default=1_000)
    made.add_argument("--silence", type=float, default=10, help="seconds before they ask")
    made.add_argument("--rounds", type=int, default=3, help="questions of each connection")
    made.add_argument("--restarts", type=int, default=3)
    made.add_argument("--between", type=float, default=5, help="seconds between restarts")
    made.add_argument("--workers", type=int, default=1)
    made.add_argument("--max-waiting", type=int, help="texts, to see it refuse")
    made.add_argument("--note", help="what else the machine did meanwhile; goes into the file")
    made.add_argument("--out", type=Path, default=OUT)
    return made


def served(options: argparse.Namespace) -> Service:
    """What the options ask for."""
    more = ["--workers", str(options.workers), "--threads", "1"]
    if options.max_waiting is not None:
        more += ["--max-waiting", str(options.max_waiting)]
    return Service(options.model, more)


def described(model: Path) -> dict[str, Any]:
    """The kind of model, and its digest: that of its settings, which name those of its files."""
    content = (model / "config.json").read_bytes()
    config = json.loads(content)
    lm = config["classifier"]["lm"]
    both = (model / "backward").is_dir()
    return {
        "task": f"{config['classifier']['n_classes']} classes",
        "directions": 2 if both else 1,
        "lm": {name: lm[name] for name in ("vocab_size", "emb_size", "hidden_size", "n_layers")},
        "config_sha256": hashlib.sha256(content).hexdigest(),
    }


def command(name: str, options: argparse.Namespace) -> str:
    """What repeats one scenario with another model; options as they are by default left out."""
    given = []
    for option, default in vars(parser().parse_args(["MODEL"])).items():
        value = getattr(options, option)
        if option not in ("model", "scenarios", "note", "out") and value != default:
            given.append(f"--{option.replace('_', '-')} {value:g}")
    return " ".join(["python -m benchmarks.service_load MODEL", name, *given])


def allow_connections() -> None:
    """Each client is an open file."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the results file."""
    options = parser().parse_args(arguments)
    names = options.scenarios or list(SCENARIOS)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        parser().error(f"there is no scenario {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    allow_connections()
    texts = load_dataset("name:trec6", split="test").texts
    questions = Questions(texts, Predictor.load(options.model).predict_proba(texts))
    good = True
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            found = measured(name, questions, options)
        except NotServedError as error:
            raise SystemExit(f"the service did not start:\n{error}") from error
        keep(options.out, name, found)
        print(json.dumps({name: found}, indent=2))
        good = good and not found["faults"]
    print(f"written to {options.out}", file=sys.stderr)
    return 0 if good else 1


def measured(name: str, questions: Questions, options: argparse.Namespace) -> dict[str, Any]:
    """One scenario, with what its figures depend on."""
    before, begin = load_average(), time.monotonic()
    found = SCENARIOS[name](served(options), questions, options)
    return {
        "command": command(name, options),
        "commit": commit(),
        "date": today(),
        "machine": hardware(),
        "load_before": round(before, 2),
        "load_after": round(load_average(), 2),
        "threads": 1,
        "workers": options.workers,
        "note": options.note,
        "model": described(options.model),
        "wall_seconds": round(time.monotonic() - begin, 1),
        **found,
    }


def keep(path: Path, name: str, found: dict[str, Any]) -> None:
    """Put it into the file, beside what is there."""
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    after = {one: {**before, name: found}[one] for one in SCENARIOS if one in {**before, name: 0}}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(after, indent=2) + "\n", "utf-8")
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main())
