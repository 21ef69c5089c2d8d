"""The verb for the paper's experiments."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ulmfit.cli.app import app
from ulmfit.cli.help import Verb, examples
from ulmfit.cli.options import (
    DATA,
    OUTPUT,
    TRAINING,
    DataDir,
    Debug,
    Json,
    Quiet,
    TrainingPrecision,
)
from ulmfit.cli.printing import print_json, table
from ulmfit.errors import SettingsError

if TYPE_CHECKING:
    from ulmfit.experiments.recipes import Scale
    from ulmfit.experiments.reproduce import Request, Status

PANEL = "Reproduce the paper"
WORK = Path("runs") / "reproduce"


Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME", help="Experiments listed by --list, `all`, or a TOML file of your own."
    ),
]
Listed = Annotated[
    bool, typer.Option("--list", help="List the experiments, their progress and their cost.")
]
ScaleOption = Annotated[
    Literal["smoke", "cpu", "full"],
    typer.Option(
        "--scale",
        metavar="NAME",
        help="smoke: minutes, the numbers mean nothing; cpu: real data in hours; full: as in the "
        "paper, for a GPU.",
        rich_help_panel=TRAINING,
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        metavar="N",
        min=1,
        help="Runs per row, seeds 0 to N - 1.  [default: set by the scale]",
        rich_help_panel=TRAINING,
    ),
]
Datasets = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="Only this data set; may be repeated.",
        rich_help_panel=DATA,
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels",
        metavar="N",
        help="Only draws of N labels, or `all` for all labels; may be repeated.",
        rich_help_panel=DATA,
    ),
]
PretrainedLM = Annotated[
    str | None,
    typer.Option(
        "--lm",
        metavar="NAME|DIR",
        help="Pretrained language model.  [default: set by the scale]",
        rich_help_panel=TRAINING,
    ),
]
Results = Annotated[
    Path | None,
    typer.Option(
        "--results",
        metavar="FILE",
        help="JSON lines file to append to; cells already in it are not run again.  "
        "[default: runs/reproduce/SCALE.jsonl]",
        rich_help_panel=OUTPUT,
    ),
]
Work = Annotated[
    Path,
    typer.Option(
        "--work",
        metavar="DIR",
        help="Folder for shared and unfinished work; may be deleted when all is done.",
        rich_help_panel=OUTPUT,
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="DIR",
        help="Write results.md and the figures to this folder.",
        rich_help_panel=OUTPUT,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        min=1,
        help="Cells to run in parallel.  [default: as many as fit]",
    ),
]
CellThreads = Annotated[
    int, typer.Option("--threads", metavar="N", min=1, help="CPU threads per cell.")
]
GPUs = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option("--device", metavar="NAME", help="auto uses GPUs if there are any."),
]


@app.command(
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="Tables, figures and baselines of the paper.",
    epilog=examples(
        "ulmfit reproduce --list",
        "ulmfit reproduce table7 --scale cpu --dataset trec6",
        "ulmfit reproduce all --scale smoke",
        "ulmfit reproduce figure3 table4 --data-dir data --seeds 5 --jobs 2",
    ),
)
def reproduce(
    names: Names = None,
    listed: Listed = False,
    scale: ScaleOption = "cpu",
    seeds: Seeds = None,
    datasets: Datasets = None,
    labels: Labels = None,
    data_dir: DataDir = None,
    lm: PretrainedLM = None,
    results: Results = None,
    work: Work = WORK / "work",
    report: Report = None,
    jobs: Jobs = None,
    threads: CellThreads = 1,
    device: GPUs = "auto",
    precision: TrainingPrecision = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run the paper's tables, figures and baselines, and print them beside the paper's numbers.

    You can stop it at any time: the same command continues where it was and repeats nothing that is
    finished. Work that several experiments share is done once.
    """
    from ulmfit.experiments.recipes import read_scale

    chosen = read_scale(scale)
    path = results if results is not None else WORK / f"{scale}.jsonl"
    if listed:
        _list(chosen, seeds, path, as_json=as_json)
        return
    if not names:
        raise SettingsError(
            "no experiment is named", hint="`ulmfit reproduce --list` lists them; `all` runs all."
        )
    from ulmfit.experiments.recipes import find_experiments
    from ulmfit.experiments.reproduce import Request

    find_experiments(names)  # before anything that takes time
    request = Request(
        names=tuple(names),
        scale=scale,
        results=path,
        work=work,
        command=_command(names, scale, seeds, datasets, labels, lm),
        seeds=seeds,
        datasets=tuple(datasets or ()),
        labels=tuple(_count(text) for text in labels or ()),
        data_dir=data_dir,
        lm=_locate(lm, chosen),
        jobs=jobs,
        threads=threads,
        device=device,
        precision=precision,
    )
    _run(request, report, quiet=quiet, as_json=as_json)


def _run(request: Request, report: Path | None, *, quiet: bool, as_json: bool) -> None:
    from ulmfit.apps.display import make_display
    from ulmfit.apps.training import train_on_tuned
    from ulmfit.cli.options import use_threads
    from ulmfit.experiments.recipes import find_experiments
    from ulmfit.experiments.reproduce import reproduce as run
    from ulmfit.experiments.results import read_results
    from ulmfit.experiments.tables import experiment_tables

    use_threads(request.threads)
    found = run(request, make_display(quiet=quiet), train_on_tuned)
    if report is not None:
        _report(report, request.results, request.scale)
    if as_json:
        print_json([result.model_dump() for result in found])
        return
    known = read_results(request.results)
    experiments = find_experiments(list(request.names))
    shown = [experiment_tables(experiment, known, request.scale) for experiment in experiments]
    typer.echo("\n".join(text for text in shown if text))


def _list(scale: Scale, seeds: int | None, path: Path, *, as_json: bool) -> None:
    from ulmfit.experiments.reproduce import status
    from ulmfit.experiments.results import read_results, shipped_results

    found = status(scale, seeds, [*shipped_results(), *read_results(path)])
    if as_json:
        print_json([_record(entry, scale.name) for entry in found])
        return
    rows = [("experiment", "in the paper", "done", "of", "left"), *map(_row, found)]
    typer.echo(f"Scale {scale.name}: {scale.title}.\n")
    typer.echo(table(rows, left=2))
    typer.echo(
        "\nCells are rows x data sets x draws x seeds. The time left is for one core, estimated"
        "\nfrom the finished cells; work that cells share is counted for each."
    )


def _row(entry: Status) -> tuple[str, ...]:
    left = "done" if entry.done == entry.cells else "unknown"
    if entry.seconds_left:
        left = f"{entry.seconds_left / 3600:.1f} h"
    experiment = entry.experiment
    return experiment.name, experiment.section, str(entry.done), str(entry.cells), left


def _record(entry: Status, scale: str) -> dict[str, object]:
    experiment = entry.experiment
    return {
        "name": experiment.name,
        "title": experiment.title,
        "section": experiment.section,
        "question": experiment.question,
        "scale": scale,
        "cells": entry.cells,
        "done": entry.done,
        "seconds": entry.seconds,
        "seconds_left": entry.seconds_left,
    }


def _locate(lm: str | None, scale: Scale) -> tuple[str, Path] | None:
    """Name and folder of the language model, checked; None where the scale pretrains one.

    Raises:
        SettingsError: no such name or folder.
    """
    name = lm if lm is not None else scale.lm
    if name is None:
        return None
    from ulmfit.apps.pretrained import resolve_lms, shipped_lms

    resolve_lms(name, ["forward"])
    path = shipped_lms().get(name, Path(name))
    return path.name, path


def _command(
    names: list[str],
    scale: str,
    seeds: int | None,
    datasets: list[str] | None,
    labels: list[str] | None,
    lm: str | None,
) -> str:
    """The command as far as it decides the numbers; no path of this machine goes into a result."""
    parts = ["ulmfit", "reproduce", *(Path(name).name for name in names), "--scale", scale]
    parts += ["--seeds", str(seeds)] if seeds is not None else []
    parts += [part for name in datasets or () for part in ("--dataset", name)]
    parts += [part for count in labels or () for part in ("--labels", count)]
    parts += ["--lm", Path(lm).name] if lm is not None else []
    return shlex.join(parts)


def _report(folder: Path, results: Path, scale: str) -> None:
    from ulmfit.experiments.figures import write_figures
    from ulmfit.experiments.results import read_results
    from ulmfit.experiments.tables import results_page
    from ulmfit.storage import atomic_write

    found = read_results(results)
    figures = write_figures(found, folder / "figures")
    atomic_write(folder / "results.md", results_page(found, figures, [scale]).encode())


def _count(labels: str) -> int | None:
    if labels == "all":
        return None
    if not labels.isdecimal() or int(labels) == 0:
        raise SettingsError(
            f"--labels {labels!r} is not a number", expected="a number such as 100, or all"
        )
    return int(labels)
