"""From names of experiments to results: what `ulmfit reproduce` does."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ulmfit.config import Direction
from ulmfit.data.locations import PREFIX, named_sets
from ulmfit.errors import InputError, SettingsError
from ulmfit.experiments.cells import Cell, Plan, expand, label_counts, make_plan
from ulmfit.experiments.crew import Alone, Crew, Team, choose_jobs
from ulmfit.experiments.embeddings import INSTALL, missing
from ulmfit.experiments.recipes import Experiment, Scale, Variant, find_experiments, read_scale
from ulmfit.experiments.results import Result, commit, hardware, newest
from ulmfit.experiments.runner import Origin, run_cells
from ulmfit.runtime import Precision, fast_precision
from ulmfit.train.tracker import Display

if TYPE_CHECKING:
    from ulmfit.experiments.language_models import Trainer


@dataclass(frozen=True)
class Request:
    """What is wanted.

    Attributes:
        names: experiments, or TOML files of one's own; "all" for all.
        scale: smoke, cpu or full.
        results: file of JSON lines.
        work: folder for what is shared and under way.
        command: as given, for the results.
        seeds: how many; None for what the scale says.
        datasets: only these; all where empty.
        labels: only draws of so many, None being all labels; any where empty.
        data_dir: folder of the named data sets.
        lm: name and folder of the pretrained language model; None to pretrain as the scale says.
        jobs: cells side by side; None for as many as there is room for.
        threads: of each.
        device: auto, cpu or cuda.
        precision: of the products in training; auto takes bf16 where that is fast.
    """

    names: tuple[str, ...]
    scale: str
    results: Path
    work: Path
    command: str
    seeds: int | None = None
    datasets: tuple[str, ...] = ()
    labels: tuple[int | None, ...] = ()
    data_dir: Path | None = None
    lm: tuple[str, Path] | None = None
    jobs: int | None = None
    threads: int = 1
    device: str = "auto"
    precision: Precision = "auto"


def reproduce(request: Request, display: Display, trainer: Trainer | None = None) -> list[Result]:
    """Run experiments; finished cells are not run again.

    Args:
        request: what is wanted.
        display: what a person sees.
        trainer: for the method `train`.

    Returns:
        Results of all cells wanted, old and new.

    Raises:
        SettingsError: an unknown name, or more jobs than there are processors for.
        InputError: data that cannot be used.
        TrainingError: some cells failed; all others are finished.
        Interrupted: the user stopped the run; the same command goes on.
    """
    from ulmfit.experiments.language_models import Site, lm_digests

    scale = read_scale(request.scale)
    gpus = count_gpus(request.device)
    jobs = choose_jobs(request.jobs, request.threads, gpus=gpus)
    if request.lm is not None:
        scale = scale.model_copy(update={"lm": request.lm[0]})
    digests = lm_digests(request.lm[1]) if request.lm is not None else {}
    if request.precision == "auto":
        request = replace(request, precision=fast_precision(cpu=gpus == 0))
    plans = make_plans(find_experiments(list(request.names)), scale, request, digests, display)
    site = Site(
        request.work,
        request.data_dir,
        request.lm[1] if request.lm is not None else None,
        cpu=gpus == 0,
        precision=request.precision,
        trainer=trainer,
    )
    origin = Origin(
        scale=scale.name,
        lm=request.lm[0] if request.lm is not None else None,
        command=request.command,
        hardware=hardware(request.threads, _gpu_name() if gpus else None, request.precision),
        commit=commit(),
    )
    jobs = max(1, min(jobs, len(plans)))
    crew: Crew = Alone(site, display)
    if jobs > 1:
        crew = Team(site, jobs, request.threads, display, gpus=gpus > 0)
    try:
        return run_cells(plans, request.results, request.work, crew, origin, display, jobs=jobs)
    finally:
        crew.close()


def make_plans(
    experiments: Sequence[Experiment],
    scale: Scale,
    request: Request,
    digests: Mapping[Direction, str],
    display: Display,
) -> list[Plan]:
    """All cells that can be run here; what cannot is skipped with a word.

    Raises:
        InputError: data that cannot be used, or none of what is wanted can be run.
        SettingsError: nothing is wanted.
    """
    found = named_sets(request.data_dir)

    def absent(source: str) -> bool:
        return source.startswith(PREFIX) and source.removeprefix(PREFIX) not in found

    corpus = scale.corpus if scale.lm is None else None
    uninstalled = missing()
    plans, skipped = [], {}
    seeds = request.seeds if request.seeds is not None else scale.seeds
    cells = expand(experiments, scale, seeds, datasets=request.datasets, labels=request.labels)
    if not cells:
        raise _nothing_wanted(experiments, scale, request)
    for cell, experiment, variant in cells:
        if absent(scale.datasets[cell.dataset].source):
            skipped[cell.dataset] = "there is no such folder in --data-dir"
        elif corpus is not None and variant.needs_pretraining and absent(corpus):
            skipped[f"rows with pretraining on {corpus.removeprefix(PREFIX)}"] = (
                "there is no such folder in --data-dir; --lm takes a pretrained language model"
            )
        elif variant.method == "sentence-embeddings" and uninstalled:
            skipped[variant.name] = f"{' and '.join(uninstalled)} not installed ({INSTALL})"
        else:
            data_dir, precision = request.data_dir, request.precision
            plans.append(make_plan(cell, experiment, variant, scale, data_dir, digests, precision))
    for name, reason in skipped.items():
        display.note(f"skipped {name}: {reason}")
    if not plans:
        raise InputError(
            f"nothing can be run: {next(iter(skipped))}: {next(iter(skipped.values()))}"
        )
    return plans


def _nothing_wanted(
    experiments: Sequence[Experiment], scale: Scale, request: Request
) -> SettingsError:
    """The error for options that leave no cell."""
    sources = {d: scale.datasets[d] for e in experiments for d in e.datasets if d in scale.datasets}
    counts = {n for e in experiments for d in sources for n in label_counts(e, sources[d])}
    datasets = ", ".join(sources or scale.datasets)
    drawn = sorted(n for n in counts if n is not None)
    labels = ", ".join([*map(str, drawn), *(["all"] if None in counts else [])])
    return SettingsError(
        f"no cell of {', '.join(request.names)} at scale {scale.name} is left",
        expected=f"--dataset to be one of {datasets}, and --labels one of {labels}",
    )


def count_gpus(device: str) -> int:
    """GPUs that may be used: none, one, or all there are."""
    if device == "cpu":
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _gpu_name() -> str:
    import torch

    return str(torch.cuda.get_device_name(0))


@dataclass(frozen=True)
class Status:
    """How far an experiment is at a scale.

    Attributes:
        experiment: which.
        cells: all of them, for the scale's seeds and all its data sets.
        done: those with a result.
        seconds: wall time of the results there are, of one processor or GPU.
        seconds_left: of the rest, by the mean of the results of the same method and data set; None
            where there is none to go by.
    """

    experiment: Experiment
    cells: int
    done: int
    seconds: float
    seconds_left: float | None


def status(scale: Scale, seeds: int | None, results: Sequence[Result]) -> list[Status]:
    """Every experiment with what is done of it and what it costs.

    Args:
        scale: which.
        seeds: how many; None for what the scale says.
        results: of any scale.
    """
    own = [result for result in results if result.scale == scale.name]
    current = {r.cell(): r for found in newest(own).values() for r in found}
    methods = {
        (experiment.name, variant.name): variant
        for experiment in find_experiments(["all"])
        for variant in experiment.variants
    }
    found = []
    for experiment in find_experiments(["all"]):
        wanted = expand([experiment], scale, seeds if seeds is not None else scale.seeds)
        done = [cell for cell, _, _ in wanted if cell in current]
        costs = [_cost(cell, v, current, methods) for cell, _, v in wanted if cell not in current]
        known = [cost for cost in costs if cost is not None]
        left = sum(known) if len(known) == len(costs) else None
        seconds = sum(current[cell].seconds for cell in done)
        found.append(Status(experiment, len(wanted), len(done), seconds, left))
    return found


def _cost(
    cell: Cell,
    variant: Variant,
    current: Mapping[Cell, Result],
    variants: Mapping[tuple[str, str], Variant],
) -> float | None:
    """Mean seconds of finished cells of the same data set and method, best of as many labels."""
    alike = [
        result
        for other, result in current.items()
        if other.dataset == cell.dataset
        and (other.experiment, other.variant) in variants
        and variants[other.experiment, other.variant].method == variant.method
        and len(variants[other.experiment, other.variant].members) == len(variant.members)
    ]
    nearest = [result for result in alike if result.labels == cell.labels] or alike
    return statistics.fmean(result.seconds for result in nearest) if nearest else None
