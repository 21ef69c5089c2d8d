"""What has to be done: cells of tables, the work behind them, and the hashes that name it.

A cell is one number: (experiment, data set, variant, labels, seed). Its work is a chain of tasks:
pretrain a language model (only where the scale brings none), tune it on the task's text, train a
classifier and test it, for each direction. Tasks are named by a hash of all that decides their
outcome, so that cells of several tables that need the same work share it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ulmfit.config import Direction, StageSettings
from ulmfit.errors import SettingsError
from ulmfit.experiments.protocol import Parts, digest_of_corpus, digest_of_test_rows, load_parts
from ulmfit.experiments.recipes import DataSource, Experiment, Method, Metric, Scale, Variant
from ulmfit.runtime import Precision
from ulmfit.settings import ClassifierSettings, FinetuneLMSettings, Settings

# To be raised when the code of a method changes so that its earlier results no longer hold.
VERSION = 2

# Of a method whose code has changed since: results of the others still hold.
VERSIONS: dict[Method, int] = {}

# Methods that train a classifier by the settings, which takes minutes or hours.
TRAINED = ("ulmfit", "multitask", "train")

# Methods in which nothing is drawn: on all labels one seed says everything.
FIXED = ("tfidf", "nb-svm", "sentence-embeddings")

# The method of a member that joins others (`Variant.word_counts`).
WORD_COUNTS: Literal["word-counts"] = "word-counts"

Kind = Literal["pretrain", "tune", "train"]


@dataclass(frozen=True)
class Cell:
    """One number of a table or figure.

    Attributes:
        experiment: its name.
        dataset: by the experiment's name of it.
        variant: name of the row.
        labels: size of the low-shot draw, None for all labels.
        seed: of everything that is drawn.
    """

    experiment: str
    dataset: str
    variant: str
    labels: int | None
    seed: int

    def __str__(self) -> str:
        draw = "" if self.labels is None else f", {self.labels} labels"
        return f"{self.experiment} {self.dataset} '{self.variant}'{draw}, seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """A cell with all that decides its outcome.

    Attributes:
        cell: which.
        variant: row of the experiment.
        metric: what the error is measured on.
        source: data set.
        settings: of all stages.
        corpus: text to pretrain on, None where there is a pretrained LM.
        corpus_digest: of that text, None where it is not read.
        train_rows: labelled rows to train on.
        data: digest of all training rows.
        test: digest of the test rows, None where the error is that of held-out training rows.
        tuning: settings of LM tuning for about so much text, None without it.
        course: settings of the classifier for about so much text, and its rounds in a pass.
        lm: SHA-256 of the pretrained weights by direction, of those that the members need.
        precision: of the products in training.
    """

    cell: Cell
    variant: Variant
    metric: Metric
    source: DataSource
    settings: Settings
    corpus: str | None
    corpus_digest: str | None
    train_rows: int
    data: str
    test: str | None
    tuning: FinetuneLMSettings | None
    course: tuple[ClassifierSettings, int]
    lm: tuple[tuple[Direction, str], ...]
    precision: Precision = "float32"

    def key(self) -> str:
        """Names the work of all members."""
        return digest([task.key for task in tasks_of(self) if task.kind == "train"])

    def recipe(self) -> str:
        """The same for every seed: results of one recipe belong in one mean."""
        return replace(self, cell=replace(self.cell, seed=-1)).key()


@dataclass(frozen=True)
class Task:
    """A piece of work with one outcome on disk.

    Attributes:
        kind: which.
        key: hash of all that decides the outcome.
        plan: a cell that needs it; others may too.
        direction: reading order.
        needs: tasks that have to be done before.
    """

    kind: Kind
    key: str
    plan: Plan
    direction: Direction
    needs: tuple[Task, ...] = ()

    def folder(self, work: Path) -> Path:
        """Where its outcome is, and its checkpoints until it is done."""
        return work / self.kind / self.key

    def outcome(self, work: Path) -> Path:
        """What exists when it is done."""
        return self.folder(work) / ("result.json" if self.kind == "train" else "model")


def digest(value: object) -> str:
    """16 hex digits of the SHA-256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def expand(
    experiments: Sequence[Experiment],
    scale: Scale,
    seeds: int,
    *,
    datasets: Sequence[str] = (),
    labels: Sequence[int | None] = (),
) -> list[tuple[Cell, Experiment, Variant]]:
    """All cells: the first seed of everything, then the second, and so on.

    Args:
        experiments: in the order wanted.
        scale: which data sets and how many labels.
        seeds: seeds 0, 1, ... of every variant in which something is drawn.
        datasets: only these, unless empty.
        labels: only draws of so many, None being all labels; unless empty.
    """
    found: list[tuple[Cell, Experiment, Variant]] = []
    for seed in range(seeds):
        for experiment in experiments:
            for dataset in experiment.datasets:
                if dataset not in scale.datasets or (datasets and dataset not in datasets):
                    continue
                for count in label_counts(experiment, scale.datasets[dataset]):
                    if labels and count not in labels:
                        continue
                    found += [
                        (Cell(experiment.name, dataset, row.name, count, seed), experiment, row)
                        for row in experiment.variants
                        if seed == 0 or count is not None or not nothing_drawn(row)
                    ]
    return found


def nothing_drawn(variant: Variant) -> bool:
    """Whether all seeds of a variant are the same on all labels."""
    frozen = variant.method == "hypercolumns" and variant.lm_as_pretrained
    return variant.method in FIXED or frozen


def label_counts(experiment: Experiment, source: DataSource) -> list[int | None]:
    """Sizes of the draws, all labels last; None for all labels."""
    if experiment.low_shot:
        return [*source.labels, None]
    drawn = experiment.metric == "validation" and not experiment.by_epoch
    return [source.ablation_labels if drawn else None]


def make_plan(
    cell: Cell,
    experiment: Experiment,
    variant: Variant,
    scale: Scale,
    data_dir: Path | None,
    lm: Mapping[Direction, str],
    precision: Precision = "float32",
) -> Plan:
    """A cell with its settings and the digests of its data, for which all of that is read.

    Raises:
        InputError: the data are missing.
        SettingsError: a setting of the variant is wrong, or fewer rows than are to be drawn.
    """
    source = scale.datasets[cell.dataset]
    parts = load_parts(source, experiment.metric, data_dir)
    if cell.labels is not None and cell.labels >= len(parts.train):
        raise SettingsError(
            f"{cell}: a draw of {cell.labels:,} from {len(parts.train):,} labelled rows",
            expected="fewer than there are",
            hint=f"Change datasets.{cell.dataset} in the scale's file.",
        )
    needed = variant.members if variant.reads_lm or variant.method == "multitask" else ()
    settings = scale.settings(variant, cell.dataset, experiment.metric)
    train_rows = cell.labels if cell.labels is not None else len(parts.train)
    test = digest_of_test_rows(source, data_dir) if experiment.metric == "test" else None
    corpus = scale.corpus if scale.lm is None else None
    read = corpus if variant.needs_pretraining else None
    return Plan(
        cell=cell,
        variant=variant,
        metric=experiment.metric,
        source=source,
        settings=settings,
        corpus=corpus,
        corpus_digest=digest_of_corpus(read, data_dir) if read is not None else None,
        train_rows=train_rows,
        data=parts.digest,
        test=test,
        tuning=_tuning(settings, variant, train_rows, experiment.metric, parts),
        course=_course(settings, train_rows, parts),
        lm=tuple((d, sha) for d, sha in sorted(lm.items()) if d in needed),
        precision=precision,
    )


def _tuning(
    settings: Settings, variant: Variant, train_rows: int, metric: Metric, parts: Parts
) -> FinetuneLMSettings | None:
    """Settings of LM tuning as the length of the text will fit them.

    The length is reckoned, and by all seeds alike: a draw more or less makes no other recipe.
    """
    from ulmfit.stages.finetune_lm import MIN_VALID_TOKENS, fitted_to_length

    asked = settings.finetune_lm
    if not (variant.reads_lm and variant.finetune and asked is not None):
        return None
    texts = train_rows if variant.text == "labelled" else len(parts.task_texts(metric))
    n_tokens = texts * parts.text_tokens
    held_out = round(asked.valid_fraction * n_tokens)
    return fitted_to_length(asked, n_tokens - held_out * (held_out >= MIN_VALID_TOKENS))


def _course(settings: Settings, train_rows: int, parts: Parts) -> tuple[ClassifierSettings, int]:
    """The classifier's, likewise."""
    import numpy as np

    from ulmfit.stages.classifier_course import course_of

    return course_of(settings.classifier, [np.empty(parts.text_tokens, np.int32)] * train_rows)


def tasks_of(plan: Plan) -> list[Task]:
    """The work behind a cell, each task behind those that it needs."""
    lms = {direction: _lm_tasks(plan, direction) for direction in plan.variant.members}
    if plan.variant.method == "train":
        tunes = tuple(tasks[-1] for tasks in lms.values())
        key = _train_key(plan, "forward", tunes)
        made = [task for tasks in lms.values() for task in tasks]
        return [*made, Task("train", key, plan, "forward", tunes)]
    found: list[Task] = []
    for direction, tasks in lms.items():
        tune = tuple(tasks[-1:])
        found += tasks
        found.append(Task("train", _train_key(plan, direction, tune), plan, direction, tune))
    if plan.variant.word_counts:
        found.append(_counting_task(next(task for task in found if task.kind == "train")))
    return found


def _counting_task(beside: Task) -> Task:
    """The member that counts words; it has the words of the tuned LM of the one beside it."""
    counting = beside.plan.variant.model_copy(update={"method": WORD_COUNTS})
    plan = replace(beside.plan, variant=counting)
    key = _train_key(plan, beside.direction, beside.needs)
    return replace(beside, key=key, plan=plan)


def _lm_tasks(plan: Plan, direction: Direction) -> list[Task]:
    """What makes the tuned language model, as the last of them; nothing where none is read."""
    if not plan.variant.reads_lm:
        return []
    pretrain = _pretrain_task(plan, direction)
    before = () if pretrain is None else (pretrain,)
    return [*before, Task("tune", _tune_key(plan, direction, pretrain), plan, direction, before)]


def _pretrain_task(plan: Plan, direction: Direction) -> Task | None:
    if plan.corpus_digest is None:
        return None
    identity = {
        "version": VERSION,
        "corpus": plan.corpus_digest,
        "precision": plan.precision,
        "settings": plan.settings.pretrain.model_dump(),
        "direction": direction,
    }
    return Task("pretrain", digest(identity), plan, direction)


def _tune_key(plan: Plan, direction: Direction, pretrain: Task | None) -> str:
    variant, settings = plan.variant, plan.settings.finetune_lm
    assert settings is not None
    vocabulary = settings.model_dump(include={"vocab", "max_vocab", "min_freq"})
    return digest(
        {
            "version": VERSION,
            "base": pretrain.key if pretrain is not None else dict(plan.lm).get(direction),
            "sizes": plan.settings.pretrain.model_dump() if plan.corpus is not None else None,
            "lm": variant.lm,
            "finetune": variant.finetune,
            "precision": plan.precision if variant.finetune else None,
            "settings": _settled(settings) if variant.finetune else vocabulary,
            "fitted": plan.tuning.model_dump() if plan.tuning is not None else None,
            "data": plan.data,
            "metric": plan.metric,
            "labels": plan.cell.labels if variant.text == "labelled" else None,
            "text": variant.text,
            "seed": tuning_seed(plan),
            "direction": direction,
        }
    )


def _settled(settings: StageSettings) -> dict[str, Any]:
    """All that is set, and what is the default by choice: nothing fits that to the data."""
    kept = settings.kept_defaults
    return settings.model_dump() | ({"kept_defaults": kept} if kept else {})


def tuning_seed(plan: Plan) -> int | None:
    """Seed of a cell's fine-tuned LM; None where it is the same one for all seeds."""
    variant = plan.variant
    shared = variant.text == "all" and (plan.source.one_lm or variant.lm_as_pretrained)
    return None if shared else plan.cell.seed


def _train_key(plan: Plan, direction: Direction, tunes: Sequence[Task]) -> str:
    variant = plan.variant
    trained = variant.method in TRAINED
    drawn = plan.cell.labels is not None or not nothing_drawn(variant)
    identity: dict[str, Any] = {
        "version": VERSIONS.get(variant.method, VERSION),
        "method": variant.method,
        "tune": tunes[0].key if tunes else None,
        "settings": _settled(plan.settings.classifier) if trained else None,
        "fitted": (plan.course[0].model_dump(), plan.course[1]) if trained else None,
        "precision": plan.precision if trained else None,
        "data": plan.data,
        "test": plan.test,
        "metric": plan.metric,
        "labels": plan.cell.labels,
        "seed": plan.cell.seed if drawn else None,
        "direction": direction,
    }
    if variant.method == "train":
        identity["tunes"] = [tune.key for tune in tunes]
        again = plan.settings.self_training
        identity["self_training"] = again.model_dump() if again is not None else None
        identity["ngrams"] = plan.settings.model_dump(include={"ngrams"})
    if variant.method == "multitask":  # from scratch, with the sizes and words of a tuned LM
        settings = plan.settings.finetune_lm
        identity["words"] = settings.model_dump() if settings is not None else None
        identity["sizes"] = plan.lm or plan.settings.pretrain.model_dump()
    return digest(identity)
