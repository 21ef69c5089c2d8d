"""Peers and this package side by side, in turns, on this machine: `make bench`.

    python -m benchmarks.speed                      everything, about a quarter of an hour
    python -m benchmarks.speed lm-train tokenise    only these
    python -m benchmarks.speed --smoke              tiny sizes, this package against itself

Every side is a process that stays warm and answers when it is asked, so that only one works at any
moment: A B C, A B C, ... Machines differ and are shared: the ratios of a round count, and of the
rounds the median and the range. Writes benchmarks/results/<date>-<cpu>.json and RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import environments, machine
from benchmarks.answers import check_answers
from benchmarks.comparisons import all_comparisons
from benchmarks.materials import FULL, SMOKE, Sizes, is_complete, write_materials
from benchmarks.measuring import BOUND, measure, say
from benchmarks.processes import Launch, Worker
from benchmarks.render import render
from ulmfit.data.datasets import Dataset, load_dataset
from ulmfit.runtime import cpu_count

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "imdb"
RESULTS = ROOT / "benchmarks" / "results"
PEERS = ("fastai", "minilm", "fasttext")
NAMES = (
    "lm-train", "classifier-train-trec6", "classifier-train-imdb", "predict-imdb",
    "predict-one-315", "predict-one-trec", "tokenise",
)  # fmt: skip


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="COMPARISON", help=", ".join(NAMES))
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--threads", type=int, default=cpu_count(), help="default: all cores")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, peers only if given")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with IMDb's two tables")
    parser.add_argument(
        "--material", type=Path, help="folder to keep texts, ids and weights in for the next run"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results file")
    parser.add_argument(
        "--envs", type=Path, default=environments.FOLDER, help="folder of the peers' environments"
    )
    for name in PEERS:
        parser.add_argument(f"--{name}", metavar="PYTHON", help=f"interpreter that has {name}")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"no comparison {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return options


def launches(options: argparse.Namespace) -> dict[str, Launch]:
    """How every worker starts; in the smoke test, ours takes fastai's place unless it is given."""
    ours = Launch("ours_side", sys.executable, options.threads)
    found = {
        "ours": ours,
        "ours-1": Launch("ours_side", sys.executable, 1),
        BOUND: Launch("bound_side", sys.executable, options.threads),
    }
    for name in PEERS:
        python = getattr(options, name)
        if python is None and not options.smoke:
            python = environments.python_of(name, options.envs)
        if python is not None:
            found[name] = Launch(f"{name}_side", python, options.threads)
    return {"fastai": ours, **found}


def read_texts(options: argparse.Namespace) -> tuple[Dataset, list[str]]:
    """Reviews to train on and others to predict; TREC's questions where the smoke test runs."""
    if options.smoke:
        return load_dataset("name:trec6"), load_dataset("name:trec6").texts[-500:]
    return load_dataset(str(options.data / "train.parquet")), load_dataset(
        str(options.data / "test.parquet")
    ).texts


# m, k, n: input and recurrent products of a paper-size layer, and the softmax.
GEMMS = ((4480, 1152, 4608), (64, 1152, 4608), (4480, 400, 4608), (4480, 400, 30_000))
SMOKE_GEMMS = ((64, 32, 96),)


def run(options: argparse.Namespace, sizes: Sizes, folder: Path) -> dict[str, Any]:
    """Measure everything asked for; the results file as a JSON value."""
    load_before = machine.load()
    if not is_complete(folder, sizes):
        say("writing texts, ids and weights")
        write_materials(folder, *read_texts(options), sizes)
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(launch, folder))
            for name, launch in launches(options).items()
        }
        versions = {name: workers[name].ask("versions") for name in workers if name != "ours-1"}
        vocab_size = len(json.loads((folder / "vocab.json").read_text("utf-8")))
        modes = versions["ours"]["modes"]
        wanted = options.names or NAMES
        say("comparing answers")
        answers = [check_answers(workers["ours"], workers["fastai"], size) for size in sizes.models]
        bound = workers[BOUND]
        gemms = SMOKE_GEMMS if options.smoke else GEMMS
        rates = [{"shape": list(s), **bound.ask("rates", m=s[0], k=s[1], n=s[2])} for s in gemms]
        memory = {} if options.smoke else bound.ask("memory")
        measured = [
            measure(comparison, workers, options.repeats)
            for comparison in all_comparisons(folder, sizes, vocab_size, modes)
            if comparison.name in wanted
        ]
    return {
        "command": f"python -m benchmarks.speed {' '.join(sys.argv[1:])}".strip(),
        "date": machine.today(),
        "commit": machine.commit(),
        "hardware": machine.hardware(),
        "threads": options.threads,
        "load_before": load_before,
        "versions": versions,
        "repeats": options.repeats,
        "answers": answers,
        "gemm_gflops": rates,
        "memory_gb_per_second": memory,
        "comparisons": measured,
    }


def main() -> None:
    """Measure, and write the results file and the table made of it."""
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        results = run(options, SMOKE if options.smoke else FULL, options.material or Path(folder))
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{results['date']}-{machine.cpu_name()}.json"
    path.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    page = render(path)
    table = (
        options.out.parent / "RESULTS.md" if options.out == RESULTS else options.out / "RESULTS.md"
    )
    table.write_text(page, "utf-8")
    print(page)
    say(f"written: {path} and {table}")


if __name__ == "__main__":
    main()
