"""Experiments and scales as TOML files: what is compared, on which data, beside which numbers."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from ulmfit.config import Direction, Frozen
from ulmfit.errors import SettingsError
from ulmfit.presets import load_settings
from ulmfit.settings import Settings

Method = Literal[
    "ulmfit",
    "hypercolumns",
    "multitask",
    "tfidf",
    "nb-svm",
    "n-grams",
    "sentence-embeddings",
    "word-counts",
    "train",
]
Metric = Literal["test", "validation"]

# By the names that experiments and scales call them, as tables do.
DATASETS = {
    "imdb": "IMDb",
    "trec6": "TREC-6",
    "ag_news": "AG News",
    "dbpedia": "DBpedia",
    "yelp_polarity": "Yelp-bi",
    "yelp_full": "Yelp-full",
}

EXPERIMENTS, SCALES, RESULTS = "experiments", "scales", "results"
_MEMBER_BY_DIRECTION = ("ulmfit", "hypercolumns")
_READS_LM = (*_MEMBER_BY_DIRECTION, "train")


class Variant(Frozen):
    """One row of a table, or one line of a figure.

    Attributes:
        name: what the table calls it.
        method: how texts become labels; `train` is all that the command of this name does once the
            language models are tuned.
        lm: weights to start from.
        finetune: whether the LM is trained on the task's text; if not, it only takes its words.
        text: what the LM is trained on: `all` text of the training part, with the unlabelled
            text where there is some, or that of the `labelled` rows alone.
        directions: members, whose probabilities are averaged; with the method `train`, those of its
            one member.
        word_counts: whether the member that counts words is added, by its default share.
        set: settings that differ from the scale's, by dotted key.
        paper: the paper's error by data set, in percent.
    """

    name: str
    method: Method = "ulmfit"
    lm: Literal["pretrained", "random"] = "pretrained"
    finetune: bool = True
    text: Literal["all", "labelled"] = "all"
    directions: tuple[Direction, ...] = ("forward",)
    word_counts: bool = False
    set: dict[str, Any] = Field(default_factory=dict)
    paper: dict[str, float] = Field(default_factory=dict)

    @property
    def members(self) -> tuple[Direction, ...]:
        """A model for each direction; only a language model has one."""
        return self.directions if self.method in _READS_LM else ("forward",)

    @property
    def lm_as_pretrained(self) -> bool:
        """Whether its language model is the pretrained one as it is, in which nothing is drawn."""
        return not self.finetune and self.lm == "pretrained"

    @property
    def reads_lm(self) -> bool:
        """Whether it starts from a language model on disk."""
        return self.method in _READS_LM

    @property
    def needs_pretraining(self) -> bool:
        """Whether that one has been pretrained."""
        return self.reads_lm and self.lm == "pretrained"


class Quoted(Frozen):
    """A row that the paper takes from others, and that is not run here."""

    name: str
    paper: dict[str, float]


class Experiment(Frozen):
    """A table, a figure or a comparison of the paper.

    Attributes:
        name: of the file.
        order: place in lists.
        title: what it is about.
        section: where the paper has it.
        question: what it answers.
        metric: error on the test set, or on the held-out part of the training set.
        datasets: those that the paper shows.
        low_shot: whether it is run on balanced draws of so many labels as the scale names.
        by_epoch: whether it is read epoch by epoch: then on all labels, since a draw of few has no
            held-out rows in training.
        reference: the variant that the others are held against.
        variants: rows.
        quoted: rows of others.
        note: what differs from the paper.
        findings: what came out and the likely why, by scale; written by hand.
    """

    name: str
    order: int
    title: str
    section: str
    question: str
    metric: Metric
    datasets: tuple[str, ...]
    low_shot: bool = False
    by_epoch: bool = False
    reference: str
    variants: tuple[Variant, ...] = Field(min_length=1)
    quoted: tuple[Quoted, ...] = ()
    note: str = ""
    findings: dict[str, str] = Field(default_factory=dict)


class DataSource(Frozen):
    """A data set at a scale.

    Attributes:
        source: what `load_dataset` takes.
        rows: training rows, drawn with the labels in proportion; None for all.
        ablation_rows: training rows of experiments on the validation part; None for `rows`.
        ablation_labels: size of the balanced draw that their tables train on; None for all labels.
        ablation_tokens: their `finetune_lm.max_tokens`; None for what the settings say.
        test_rows: test rows, drawn alike; None for all.
        labels: sizes of low-shot draws; the whole training part comes on top.
        unlabeled: whether its unlabelled split is read too.
        one_lm: tune a language model on all text once, for all seeds: where that takes long. Draws
            and classifiers change with the seed even so.
        note: a word on what the data are.
    """

    source: str
    rows: int | None = Field(None, gt=0)
    ablation_rows: int | None = Field(None, gt=0)
    ablation_labels: int | None = Field(None, gt=0)
    ablation_tokens: int | None = Field(None, gt=0)
    test_rows: int | None = Field(None, gt=0)
    labels: tuple[int, ...] = ()
    unlabeled: bool = False
    one_lm: bool = False
    note: str = ""


class Scale(Frozen):
    """How much of an experiment is run.

    Attributes:
        name: of the file.
        title: a line about it.
        preset: settings to start from.
        set: what differs from the preset, for all experiments and data sets alike.
        lm: pretrained language model by name or folder; None to pretrain one on `corpus`.
        corpus: text to pretrain on.
        seeds: how many, unless the command says.
        datasets: what is run, by the experiments' names of them.
    """

    name: str
    title: str
    preset: str
    set: dict[str, Any] = Field(default_factory=dict)
    lm: str | None = None
    corpus: str | None = None
    seeds: int = Field(1, ge=1)
    datasets: dict[str, DataSource]

    def settings(self, variant: Variant, dataset: str, metric: Metric) -> Settings:
        """All settings of a variant on a data set at this scale."""
        tokens = self.datasets[dataset].ablation_tokens if metric == "validation" else None
        bound = {} if tokens is None else {"finetune_lm.max_tokens": tokens}
        return load_settings(self.preset, overrides={**self.set, **bound, **variant.set})


def recipe_folder() -> Path:
    """Where the TOML files are: inside an installed package, or at the top of a checkout."""
    inside = Path(__file__).parent / "paper"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "reproduce"


def list_experiments(folder: Path | None = None) -> list[Experiment]:
    """All experiments that come with the package, in the paper's order."""
    place = (folder if folder is not None else recipe_folder()) / EXPERIMENTS
    found = [read_experiment(path) for path in place.glob("*.toml")]
    return sorted(found, key=lambda experiment: experiment.order)


def find_experiments(names: list[str], folder: Path | None = None) -> list[Experiment]:
    """Experiments by name, or by the path of a TOML file of one's own; "all" for all.

    Raises:
        SettingsError: an unknown name (the nearest is offered), or a broken file.
    """
    known = {experiment.name: experiment for experiment in list_experiments(folder)}
    found: dict[str, Experiment] = {}
    for name in names:
        if name == "all":
            found |= known
        elif name in known:
            found[name] = known[name]
        elif name.endswith(".toml"):
            own = read_experiment(Path(name))
            found[own.name] = own
        else:
            close = difflib.get_close_matches(name, known, n=1)
            raise SettingsError(
                f"no experiment is called {name!r}",
                expected=f"one of {', '.join(known)}, all, or a TOML file",
                hint=f"Did you mean {close[0]!r}?" if close else None,
            )
    return list(found.values())


def read_experiment(path: Path) -> Experiment:
    """One experiment.

    Raises:
        SettingsError: no such file, or what it says is no experiment.
    """
    experiment = _read(path, Experiment)
    unknown = [name for name in experiment.datasets if name not in DATASETS]
    if unknown:
        raise SettingsError(
            f"'{path}': data set {unknown[0]!r} is unknown",
            expected=f"one of {', '.join(DATASETS)}",
        )
    for variant in experiment.variants:
        if variant.method == "word-counts":
            raise SettingsError(
                f"'{path}': {variant.name!r} has method = 'word-counts'",
                expected="word_counts = true beside a method with a language model",
            )
        if variant.word_counts and variant.method not in _MEMBER_BY_DIRECTION:
            raise SettingsError(
                f"'{path}': {variant.name!r} has word_counts and method = {variant.method!r}",
                expected="a method with a language model beside them, such as ulmfit",
            )
    names = [variant.name for variant in experiment.variants]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise SettingsError(f"'{path}': two variants are called {doubled[0]!r}")
    if experiment.reference not in names:
        raise SettingsError(
            f"'{path}': reference = {experiment.reference!r}",
            expected=f"the name of a variant, one of {', '.join(names)}",
        )
    if experiment.by_epoch and (experiment.low_shot or experiment.metric != "validation"):
        raise SettingsError(
            f"'{path}': by_epoch = true reads held-out errors of training on all labels",
            expected='metric = "validation" and no low_shot beside it',
        )
    return experiment


def read_scale(name: str, folder: Path | None = None) -> Scale:
    """One scale, by name.

    Raises:
        SettingsError: unknown, or its file is broken.
    """
    place = (folder if folder is not None else recipe_folder()) / SCALES
    known = sorted(path.stem for path in place.glob("*.toml"))
    if name not in known:
        raise SettingsError(f"scale {name!r} is unknown", expected=f"one of {', '.join(known)}")
    return _read(place / f"{name}.toml", Scale)


T = TypeVar("T", Experiment, Scale)


def _read(path: Path, kind: type[T]) -> T:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
        return kind.model_validate({"name": path.stem, **tree})
    except FileNotFoundError:
        raise SettingsError(f"experiment '{path}' does not exist", expected="a TOML file") from None
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise SettingsError(f"'{path}' cannot be used: {faults}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"'{path}' cannot be read: {error}", expected="TOML") from error
