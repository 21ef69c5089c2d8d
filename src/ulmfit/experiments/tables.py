"""Results as Markdown: tables beside the paper's numbers, and the page `docs/results.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ulmfit.errors import SettingsError
from ulmfit.experiments.cells import label_counts
from ulmfit.experiments.recipes import (
    DATASETS,
    DataSource,
    Experiment,
    Variant,
    list_experiments,
    read_scale,
)
from ulmfit.experiments.results import Result, newest, summarize
from ulmfit.experiments.verdicts import AGREES, Verdict, judge, judge_reference

NONE = "–"
SCALES = ("full", "cpu")  # smoke's numbers mean nothing
_SIDE_BY_SIDE = ("row", "paper", "here, mean and 95 % interval", "range", "seeds")
_VERDICT = ("gap in the paper", "gap here", "direction", "size")

INTRODUCTION = """\
# Results

The paper's tables and figures (Howard and Ruder 2018) reproduced, with our errors beside the
paper's. All errors are in percent. `make docs` writes this page from the files in
`reproduce/results/`, which `ulmfit reproduce` makes; each line there names its command, seed,
commit, data, settings, language model, wall time and hardware. A command with a file, such as
`ulmfit reproduce table7.toml`, ran some rows of the experiment of that name, with the same settings
and keys; the name alone runs them all.

How to read the tables:

- *here*: mean over the seeds with its 95 % interval by Student's t; for a single seed, Wilson's
  interval over the rows. *range*: smallest and largest of the seeds.
- *gap*: the row minus the reference row (marked *ref*), in points, with a 95 % interval over pairs
  of seeds and, as far as the gap itself tells, over the rows measured on; for a single seed over
  the rows alone.
- *direction*: `agrees` if the gap has the paper's sign and its interval excludes zero, `leans so`
  if it has the sign but the interval includes zero; likewise `opposite` and `leans opposite`.
- *size*: `agrees` if the interval of our gap includes the paper's gap and excludes zero, `open` if
  it includes both and so decides nothing; otherwise ours is `larger` or `smaller`, or certainly of
  the `opposite` sign. For the reference row: `agrees` if the paper's error lies in the interval
  over the seeds, `open` if the choice of rows could account for the rest; otherwise `larger` or
  `smaller`.
- Intervals of errors over seeds cover the variation of training and of the draws, not of the rows
  measured on; those of gaps include the least that the rows must add. With some 500 rows, one
  question is 0.2 points. The paper gives one run without an interval, on held-out rows of its own.
  One interval in twenty misses, and there are dozens here.
- Validation errors are measured on a tenth of the training rows, the same for every seed. They are
  those of the best epoch by validation error, which makes them a little low; with few labels, those
  of the last epoch. Other methods choose by the same rows. Of these rows, 9 of TREC-6's 545 and 13
  of IMDb's 2,500 are copies of training rows, for every method alike.
- Test rows are read after training, and no run chooses anything by them. Two things that are set
  for all runs were chosen with TREC-6's test rows in view: the constants of TF-IDF, shared by the
  word counts (see `Baselines`), and the epochs of ULMFiT, which held-out rows and time decided but
  whose test errors were known (docs/log.md, "how many epochs of LM fine-tuning does a short text
  need?"). The paper tuned on IMDb; our settings were tuned mostly on TREC-6's training rows.
- Of the test rows, 10 of TREC-6's 500 and 23 of IMDb's 5,000 are copies of training rows, as the
  data sets come. The texts of 47 of IMDb's, and of 50 of its 2,500 held-out rows, are also among
  the unlabelled reviews that the language model reads.
"""

Places = dict[tuple[str, str, str, int | None, str], list[Result]]


def results_page(
    results: Sequence[Result],
    figures: Mapping[str, str] | None = None,
    scales: Sequence[str] = SCALES,
) -> str:
    """All that there are results for.

    Args:
        results: of any experiments and scales.
        figures: path of the figure of an experiment and scale ("figure3-cpu"), from the page.
        scales: those to show.
    """
    parts = [INTRODUCTION]
    for scale in scales:
        if not any(result.scale == scale for result in results):
            continue
        told = read_scale(scale)
        parts.append(f"## Scale {scale}: {told.title}\n")
        parts.append(overview(results, scale))
        for experiment in list_experiments():
            text = experiment_tables(experiment, results, scale)
            if text:
                parts.append(text)
                name = f"{experiment.name}-{scale}"
                if figures and name in figures:
                    parts.append(f"![{experiment.title}]({figures[name]})\n")
    if len(parts) == 1:
        parts.append("There are none yet.\n")
    return "\n".join(parts)


def _rows_run(
    experiment: Experiment, dataset: str, places: Places, scale: str
) -> dict[str, list[Result]]:
    """Results of the variants that were run, on as many labels as the table is of."""
    labels = _table_labels(experiment, _source(scale, dataset))
    return {
        variant.name: places[experiment.name, dataset, variant.name, labels, scale]
        for variant in experiment.variants
        if (experiment.name, dataset, variant.name, labels, scale) in places
    }


def overview(results: Sequence[Result], scale: str) -> str:
    """A line per experiment and data set: how much of it agrees with the paper."""
    rows: list[tuple[str, ...]] = [("experiment", "data", "rows run", "seeds", "direction", "size")]
    places = newest(results)
    for experiment in list_experiments():
        for dataset in experiment.datasets:
            run = _rows_run(experiment, dataset, places, scale)
            if run:
                rows.append(_overview_row(experiment, dataset, run))
    return markdown(rows, left=2) if len(rows) > 1 else ""


def _overview_row(
    experiment: Experiment, dataset: str, run: Mapping[str, Sequence[Result]]
) -> tuple[str, ...]:
    verdicts = [_verdict(experiment, v, dataset, run) for v in experiment.variants if v.name in run]
    directions = [v.direction for v in verdicts if v.direction is not None]
    sizes = [v.size for v in verdicts if v.size is not None]
    counts = sorted({len(found) for found in run.values()})
    agree = directions.count(AGREES)
    return (
        experiment.title,
        DATASETS[dataset],
        f"{len(run)} of {len(experiment.variants)}",
        str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}",
        f"{agree} of {len(directions)}" if directions else NONE,
        f"{sizes.count(AGREES)} of {len(sizes)}" if sizes else NONE,
    )


def experiment_tables(experiment: Experiment, results: Sequence[Result], scale: str) -> str:
    """Everything about an experiment at a scale; empty if there is no result."""
    own = [r for r in results if r.experiment == experiment.name and r.scale == scale]
    if not own:
        return ""
    places = newest(own)
    parts = [f"### {experiment.title} ({experiment.section})\n", experiment.question]
    if experiment.note:
        parts.append(experiment.note)
    shown: list[Result] = []
    for dataset in experiment.datasets:
        source = _source(scale, dataset)
        here = _shown(experiment, dataset, places, source)
        if not here:
            continue
        shown += [result for found in here.values() for result in found]
        kind = "test rows" if experiment.metric == "test" else "held-out training rows"
        rows = next(iter(here.values()))[0].rows
        note = _note(experiment, source)
        parts.append(f"**{DATASETS[dataset]}**, error on {rows:,} {kind}{note}:")
        if experiment.low_shot:
            parts.append(low_shot_table(experiment, dataset, here, scale))
        else:
            parts.append(side_by_side(experiment, dataset, here))
    if scale in experiment.findings:
        parts.append(experiment.findings[scale].strip())
    parts.append(provenance(shown))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _shown(
    experiment: Experiment, dataset: str, places: Places, source: DataSource | None
) -> Places:
    """Results that the table of a data set has; not those of draws that it no longer has."""
    labels = _table_labels(experiment, source)
    return {
        place: found
        for place, found in places.items()
        if place[1] == dataset and (experiment.low_shot or place[3] == labels)
    }


def _table_labels(experiment: Experiment, source: DataSource | None) -> int | None:
    """The draw that a table is of, None for all labels; of low-shot draws, all labels."""
    return None if source is None else label_counts(experiment, source)[-1]


def side_by_side(experiment: Experiment, dataset: str, places: Places) -> str:
    """One row per variant: the paper's error, ours, and the verdict; of places of one draw."""
    run = {place[2]: found for place, found in places.items()}
    rows: list[tuple[str, ...]] = [(*_SIDE_BY_SIDE, *_VERDICT)]
    for variant in experiment.variants:
        name = f"{variant.name} (*ref*)" if variant.name == experiment.reference else variant.name
        verdict = _verdict(experiment, variant, dataset, run)
        cells = _here(run.get(variant.name, ()))
        rows.append((name, _percent(variant.paper.get(dataset)), *cells, *_verdict_cells(verdict)))
    for quoted in experiment.quoted:
        if dataset in quoted.paper:
            rows.append((quoted.name, _percent(quoted.paper[dataset]), *[NONE] * 7))
    return markdown(rows)


def low_shot_table(experiment: Experiment, dataset: str, places: Places, scale: str) -> str:
    """One row per variant, one column per number of labels."""
    counts = sorted({place[3] for place in places}, key=lambda n: n if n is not None else 1 << 60)
    whole = next((r for found in places.values() for r in found if r.labels is None), None)
    everything = f"all {whole.train_rows:,}" if whole is not None else "all"
    head = [f"{count:,} labels" if count is not None else everything for count in counts]
    rows: list[tuple[str, ...]] = [("row", *head)]
    for variant in experiment.variants:
        cells = [
            _low_shot_cell(places.get((experiment.name, dataset, variant.name, count, scale), ()))
            for count in counts
        ]
        rows.append((variant.name, *cells))
    return markdown(rows)


def _low_shot_cell(results: Sequence[Result]) -> str:
    if not results:
        return NONE
    found = summarize(results)
    return f"{found.mean:.1f} [{found.low:.1f}, {found.high:.1f}], n = {found.n}"


def _verdict(
    experiment: Experiment, variant: Variant, dataset: str, run: Mapping[str, Sequence[Result]]
) -> Verdict:
    reference = next(v for v in experiment.variants if v.name == experiment.reference)
    paper = variant.paper.get(dataset)
    if variant.name == experiment.reference:
        return judge_reference(run.get(variant.name, ()), paper)
    theirs = run.get(experiment.reference, ())
    return judge(run.get(variant.name, ()), theirs, paper, reference.paper.get(dataset))


def _here(results: Sequence[Result]) -> tuple[str, str, str]:
    if not results:
        return ("not run", NONE, NONE)
    found = summarize(results)
    spread = NONE if found.n == 1 else f"{found.least:.2f} to {found.most:.2f}"
    return f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]", spread, str(found.n)


def _verdict_cells(verdict: Verdict) -> tuple[str, str, str, str]:
    gap = NONE if verdict.gap is None else f"{verdict.gap:+.2f} ± {verdict.half:.2f}"
    paper = NONE if verdict.paper_gap is None else f"{verdict.paper_gap:+.2f}"
    return paper, gap, verdict.direction or NONE, verdict.size or NONE


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def _note(experiment: Experiment, source: DataSource | None) -> str:
    """What a scale declares of a data set, in brackets."""
    if source is None:
        return ""
    parts = [source.note] if source.note else []
    labels = None if experiment.low_shot else _table_labels(experiment, source)
    if labels is not None:
        parts.append(f"trained on balanced draws of {labels:,} labels")
    if experiment.metric == "validation" and source.ablation_tokens is not None:
        parts.append(f"LM fine-tuning reads {source.ablation_tokens:,} tokens at most")
    return f" ({'; '.join(parts)})" if parts else ""


def _source(scale: str, dataset: str) -> DataSource | None:
    """What a scale says of a data set; None for one that is no longer run."""
    try:
        return read_scale(scale).datasets.get(dataset)
    except SettingsError:
        return None


def provenance(results: Sequence[Result]) -> str:
    """Where the numbers of an experiment come from, in two lines or so."""
    lms = {(r.lm.name, sha[:12]) for r in results if r.lm for sha in r.lm.sha256.values()}
    hours = sum(result.seconds for result in results) / 3600
    commands = sorted({f"`{result.command}`" for result in results})
    cells = f"{len(results)} cell{'s' * (len(results) != 1)}"
    models = ", ".join(f"{name} ({sha})" for name, sha in sorted(lms))
    parts = [
        f"{cells}, {hours:.1f} hours (what cells share is counted for each) of "
        + " and ".join(_unique("hardware", results)),
        f"commit {', '.join(_unique('commit', results))}",
        f"made by {', '.join(commands)}",
    ]
    if models:
        parts.insert(1, f"language model {models}")
    return "<sub>" + "; ".join(parts) + ".</sub>"


def _unique(name: str, results: Sequence[Result]) -> list[str]:
    return sorted({str(getattr(result, name)) for result in results})


def markdown(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A table with a head; the first `left` columns flush left, the others right."""
    head, *body = rows
    rule = ["---" if place < left else "---:" for place in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *body]) + "\n"
