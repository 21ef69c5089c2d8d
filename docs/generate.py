"""Write the generated parts of the documents: `make docs`.

These are the file tree and the accuracy table in README.md, docs/cli.md (from the help texts of the
commands), docs/results.md and its figures, and the numbers in docs/reliability.md (from the results
files).
`tests/test_docs.py` fails when running this would change anything.
"""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ulmfit.experiments.results import Result

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 96  # characters
COLUMN = 28  # characters before the names
FIGURES = "figures"  # below docs/

SCREEN = {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1"}
CLI_HEADING = """\
# Command line

All commands and options, as shown by `ulmfit VERB --help` (written by `make docs`).

Results go to standard output, progress and logs to standard error. Exit codes: 0 success,
1 failure, 2 the command or its data cannot be used as given, 130 stopped by Ctrl-C.
"""

# Data sets and draws of the README's table, and its columns.
ACCURACY: tuple[tuple[str, int | None], ...] = (
    *((data, labels) for data in ("imdb", "trec6") for labels in (100, 500, None)),
    *((data, None) for data in ("ag_news", "dbpedia", "yelp_polarity", "yelp_full")),
)
BESIDE = (
    "ULMFiT",
    "sentence embeddings + LR",
    "TF-IDF + LR",
    "NB-SVM",
    "bag of n-grams (fastText)",
    "from scratch",
)

# Layer by layer, in the order in which a newcomer reads them.
PACKAGES = ("data", "model", "optim", "train", "stages", "apps", "experiments", "cli")
LAYER = dict(zip(("", *PACKAGES), (0, 1, 1, 1, 2, 3, 4, 4, 5), strict=True))


def repository_files() -> list[Path]:
    """Every file that is, or would be, committed; relative to the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted(Path(name) for name in done.stdout.split("\0") if name and (ROOT / name).exists())


def entries(folder: str, files: Iterable[Path]) -> list[str]:
    """Names directly inside a folder, subfolders with a slash, without what is hidden."""
    inside = {path.relative_to(folder) for path in files if path.is_relative_to(folder)}
    names = {path.parts[0] + ("/" if len(path.parts) > 1 else "") for path in inside}
    return sorted(name for name in names if not name.startswith((".", "__")))


def modules(folder: str, files: Iterable[Path]) -> list[str]:
    """Entries of a folder of the package, modules without their ending."""
    skipped = {"py.typed", *(f"{name}/" for name in PACKAGES)}
    return [name.removesuffix(".py") for name in entries(folder, files) if name not in skipped]


def line(head: str, names: Iterable[str]) -> str:
    """One entry of the tree, wrapped so that the names stand in a column of their own."""
    indent = " " * COLUMN
    text = f"{head:<{COLUMN}}{' '.join(names)}"
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False).rstrip()


def tree(files: list[Path]) -> str:
    """The file tree of the README."""
    top = entries(".", files)
    lines = [textwrap.fill(" ".join(name for name in top if not name.endswith("/")), WIDTH)]
    lines.append(line(".ci/", entries(".ci", files)))
    others = [name for name in top if name.endswith("/") and name not in ("src/", "tests/")]
    lines += [line(name, entries(name, files)) for name in others]
    for package in LAYER:
        folder = f"src/ulmfit/{package}".rstrip("/")
        head = f"{folder + '/':<{COLUMN - 4}}L{LAYER[package]}"
        lines.append(line(head, modules(folder, files)))
    inside = entries("tests", files)
    lines.append(line("tests/", [name for name in inside if not name.startswith("test_")]))
    return "\n".join(lines)


def with_tree(readme: str, drawn: str) -> str:
    """The README with another tree in the block below the heading Layout."""
    block = re.compile(r"(?<=\n## Layout\n)(.*?\n```\n).*?(?=\n```\n)", re.DOTALL)
    return block.sub(lambda found: found[1] + drawn, readme, count=1)


def accuracy() -> str:
    """The README's table of errors beside the baselines, from the committed results."""
    from ulmfit.experiments import results, tables
    from ulmfit.experiments.recipes import DATASETS

    places = results.newest(results.shipped_results())

    def found(dataset: str, name: str, labels: int | None) -> list[Result]:
        keys = ((t, dataset, name, labels, "cpu") for t in ("baselines", "table2", "table3"))
        return next((places[key] for key in keys if key in places), [])

    def cell(same: list[Result]) -> str:
        if not same:
            return tables.NONE
        summary = results.summarize(same)
        several = f" ± {summary.high - summary.mean:.1f}" if summary.n > 1 else ""
        return f"{summary.mean:.1f}{several}"

    rows = [f"| test error, % | {' | '.join(BESIDE)} |", f"|---|{'---:|' * len(BESIDE)}"]
    for dataset, labels in ACCURACY:
        by_name = [found(dataset, name, labels) for name in BESIDE]
        (first, *_), *_ = by_name
        name = f"{DATASETS[dataset]}, {first.train_rows:,} labels"
        rows.append(f"| {name} | {' | '.join(map(cell, by_name))} |")
    return "\n".join(rows)


def with_accuracy(readme: str, drawn: str) -> str:
    """The README with another table below the heading Accuracy."""
    block = re.compile(r"(?<=\n### Accuracy\n\n)\|.*?(?=\n\n)", re.DOTALL)
    return block.sub(lambda _: drawn, readme, count=1)


def cli_reference() -> str:
    """The help texts of all commands as one Markdown page."""
    from typer.core import TyperGroup
    from typer.main import get_command
    from typer.testing import CliRunner

    from ulmfit.cli.main import app

    def section(*words: str) -> str:
        shown = CliRunner().invoke(app, [*words, "--help"], prog_name="ulmfit", env=SCREEN)
        assert shown.exit_code == 0, shown.output
        return f"## {' '.join(['ulmfit', *words])}\n\n```\n{shown.stdout.strip()}\n```\n"

    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return "\n".join([CLI_HEADING, section(), *(section(verb) for verb in group.commands)])


def results_page() -> str:
    """The committed results beside the paper's."""
    from ulmfit.experiments import figures, results, tables

    found = results.shipped_results()
    return tables.results_page(found, figures.figure_paths(found, FIGURES))


def draw_figures() -> None:
    """Draw the figures whose numbers have changed."""
    from ulmfit.experiments import figures, results

    found = results.shipped_results()
    panels = figures.all_panels(found)
    drawn = {name: ROOT / "docs" / FIGURES / f"{name}.svg" for name in panels}
    if any(
        not path.exists() or figures.stamp(panels[name]) not in path.read_text("utf-8")
        for name, path in drawn.items()
    ):
        figures.write_figures(found, ROOT / "docs" / FIGURES)


def with_counts(page: str) -> str:
    """docs/reliability.md with the counts of the results file in its block."""
    path = ROOT / "benchmarks" / "results" / "reliability.json"
    results = json.loads(path.read_text("utf-8"))["results"]
    lines = [f"{'test':<60}{'tried':>8}{'passed':>14}"]
    lines += [
        f"{name:<60}{counts['tried']:>8,}{counts['survived']:>14,}"
        for name, counts in results.items()
    ]
    block = re.compile(r"(?<=\n```\n).*?(?=```\n)", re.DOTALL)
    return block.sub(lambda found: "\n".join(lines) + "\n", page, count=1)


def loads() -> dict[str, dict[str, Any]]:
    """The results of `benchmarks.service_load`, by scenario."""
    path = ROOT / "benchmarks" / "results" / "service.json"
    found: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return found


def load_table(results: dict[str, dict[str, Any]]) -> str:
    """What the service answered under each load, and what else each load is about."""
    heads = ("requests", "200", "429", "503", "other", "lost", "p50 ms", "p99 ms")
    lines = [f"{'load':<12}" + "".join(f"{head:>10}" for head in heads)]
    for name, found in results.items():
        counts = [found["statuses"].get(status, 0) for status in ("200", "429", "503")]
        others = found["requests"] - sum(counts)
        times = (round(found["p50_ms"]), round(found["p99_ms"]))
        row = (found["requests"], *counts, others, found["lost"], *times)
        lines.append(f"{name:<12}" + "".join(f"{number:>10,}" for number in row))
    lines.append("")
    for name, found in results.items():
        said = [*LOADS[name](found), *(f"FAULT: {fault}" for fault in found["faults"])]
        lines += [f"{name if not number else '':<12}{text}" for number, text in enumerate(said)]
        lines.append(f"{'':<12}{found['command']}")
    return "\n".join(lines) + "\n"


def _clients(found: dict[str, Any]) -> list[str]:
    return [
        f"{found['clients']} clients sending without a pause for {found['seconds']:g} s, "
        f"{found['texts_per_second']:.0f} texts a second",
        f"largest difference of a probability from predict: {found['worst_difference']:.1g}",
    ]


def _soak(found: dict[str, Any]) -> list[str]:
    lines = [f"{found['rate']:g} requests a second for {found['seconds'] / 60:g} minutes"]
    for kind in ("resident", "private"):
        memory = found[f"{kind}_mib"]
        lines.append(
            f"{kind} memory: {memory['after_warm_up']:.1f} MiB after warm-up, then "
            f"{memory['slope_per_minute']:+.2f} MiB a minute,"
        )
        lines.append(f"  in all {memory['grown']:+.1f} MiB of {memory['may_grow']:.1f} allowed")
    return lines


def _connections(found: dict[str, Any]) -> list[str]:
    cut = found["not_taken"] + found["cut_in_silence"] + found["cut_between"]
    return [
        f"{found['connections']:,} held open at once, {cut} not accepted or cut; of "
        f"{found['questions']:,} questions",
        f"{found['answered']:,} answered in {found['asking_seconds']:.0f} s, after "
        f"{max(map(int, found['comebacks']))} retries at most",
    ]


def _restart(found: dict[str, Any]) -> list[str]:
    drained, ready = (
        [one[name] for one in found["seconds_of_each"]] for name in ("drained", "ready")
    )
    return [
        f"{found['restarts']} restarts under requests of {found['clients']} clients; the old "
        f"service had ended after",
        f"{min(drained):.1f} to {max(drained):.1f} s, the new one was ready after "
        f"{min(ready):.1f} to {max(ready):.1f} s",
    ]


LOADS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "clients": _clients,
    "soak": _soak,
    "connections": _connections,
    "restart": _restart,
}


def surroundings(results: dict[str, dict[str, Any]]) -> str:
    """What the figures depend on."""
    any_of = next(iter(results.values()))
    cpus: dict[str, list[str]] = {}
    for name, one in results.items():
        cpus.setdefault(one["machine"]["cpu"], []).append(name)
    machines = ", ".join(f"{cpu} ({', '.join(names)})" for cpu, names in cpus.items())
    loads = [one[name] for one in results.values() for name in ("load_before", "load_after")]
    commits = list(dict.fromkeys(one["commit"] for one in results.values()))
    notes = dict.fromkeys(one["note"] for one in results.values() if one["note"])
    text = (
        f"Measured on {any_of['date']}: {machines}; {any_of['machine']['cores']} cores shared by "
        f"service and clients, {any_of['workers']} worker of one thread, a "
        f"TREC-6 model of {any_of['model']['directions']} directions, commit "
        f"{', '.join(commits)}. Load average {min(loads):.1f} to {max(loads):.1f}; "
        f"{'; '.join(notes) or 'nothing else ran'}."
    )
    return textwrap.fill(text, WIDTH, break_on_hyphens=False, break_long_words=False)


def with_load(page: str) -> str:
    """docs/reliability.md with the results of the loads below their heading."""
    results = loads()
    block = re.compile(r"(?<=\n## Under load\n)(.*?\n```\n).*?(?=```\n)```\n\n.*?\n\n", re.DOTALL)
    new = f"{load_table(results)}```\n\n{surroundings(results)}\n\n"
    return block.sub(lambda found: found[1] + new, page, count=1)


def main() -> None:
    """Write all of them anew."""
    reliability = ROOT / "docs" / "reliability.md"
    reliability.write_text(with_load(with_counts(reliability.read_text("utf-8"))), "utf-8")
    reference = ROOT / "docs" / "cli.md"
    reference.write_text(cli_reference(), "utf-8")
    (ROOT / "docs" / "results.md").write_text(results_page(), "utf-8")
    draw_figures()
    readme = ROOT / "README.md"
    text = with_accuracy(readme.read_text("utf-8"), accuracy())
    readme.write_text(with_tree(text, tree(repository_files())), "utf-8")


if __name__ == "__main__":
    main()
