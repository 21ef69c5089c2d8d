"""The verb that tests a model on labelled data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ulmfit.cli.app import app
from ulmfit.cli.classified import load_for_use
from ulmfit.cli.failures import print_warning
from ulmfit.cli.help import Verb, examples
from ulmfit.cli.labelled import Columns, Parts
from ulmfit.cli.options import (
    Data,
    DataDir,
    Debug,
    Device,
    Encoding,
    Int8,
    Json,
    Label,
    LabelSeparator,
    Model,
    Quiet,
    Report,
    Text,
    Threads,
    TrainingData,
)
from ulmfit.cli.outcomes import Outcome, file_name, judge
from ulmfit.cli.printing import evaluation_text, print_json, reliability_text
from ulmfit.cli.reports import write_report
from ulmfit.errors import InputError, SettingsError

if TYPE_CHECKING:
    from ulmfit.apps.classifiers import Classifier
    from ulmfit.apps.predictor import Predictor
    from ulmfit.data.datasets import Dataset

PANEL = "Use a model"


@dataclass(frozen=True)
class Tried:
    """What was tested.

    Attributes:
        model: folder of the model.
        data: labelled rows.
        report: where the report is, if one was asked for.
    """

    model: Path
    data: Dataset
    report: Path | None


@app.command(
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="Measure the error of a model on labelled data.",
    epilog=examples(
        "ulmfit evaluate model test.csv",
        "ulmfit evaluate model name:trec6",
        "ulmfit evaluate model test.parquet --label topic --json",
        "ulmfit evaluate model test.csv --train train.csv --report report.html",
    ),
)
def evaluate(
    model: Model,
    data: Data,
    train: TrainingData = None,
    text: Text = None,
    label: Label = None,
    label_separator: LabelSeparator = None,
    encoding: Encoding = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    int8: Int8 = False,
    threads: Threads = None,
    report: Report = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Measure a model on labelled data: error with its 95 % interval, F1 and confusions.

    It also shows how reliable the probabilities are: the expected calibration error (15 bins), and
    the error on the rows that `ulmfit predict` would answer at several values of --min-confidence.

    If DATA is a folder, an archive or a named data set, its test split is used.
    """
    from ulmfit.apps.display import make_display
    from ulmfit.artifacts import read_config

    if train is not None and report is None:
        raise SettingsError("--train is only used for the report", expected="--report FILE with it")
    # The model's folder and the data are looked at before torch and the weights are loaded.
    several = read_config(model).get("classifier", {}).get("multi_label", False)
    columns = Columns(text, label, label_separator, encoding, data_dir, multi_label=several)
    dataset = columns.load(data, "test")
    predictor = load_for_use(model, device, threads, int8=int8)
    explained = None if report is None else _explainable(predictor, model)
    _require_labels_of(dataset, predictor)
    _warn_of_learnt_rows(dataset, predictor)
    learnt = _training_rows(train, columns, predictor) if train is not None else None
    parts = Parts(learnt or dataset, dataset, dataset.name)
    display = make_display(quiet=quiet)
    outcome = judge(predictor, parts, display, baseline=learnt is not None)
    if report is not None and explained is not None:
        display.note("writing the report")
        log, origin = explained.members[0].log, dataset.name
        write_report(
            report, model, explained, outcome, train=learnt, test=dataset, origin=origin, log=log
        )
    _tell(Tried(model, dataset, report), predictor, outcome, as_json=as_json)


def _warn_of_learnt_rows(dataset: Dataset, predictor: Classifier) -> None:
    """The one file that a user has is often the one that the model was trained on."""
    record = getattr(predictor, "metrics", {}).get("data", {})
    name = file_name(dataset.name)
    if record.get("name") == name and record.get("train_rows"):
        print_warning(
            f"the model learnt {record['train_rows']:,} rows of a file '{name}': on rows that it "
            "has learnt it looks better than it is. `ulmfit train` wrote the error on the rows "
            "that it held out into report.html"
        )


def _explainable(predictor: Classifier, model: Path) -> Predictor:
    from ulmfit.apps.predictor import Predictor

    if not isinstance(predictor, Predictor):
        raise SettingsError(
            f"--report: '{model}' is an exported model, which cannot be explained",
            expected="the model that it was exported from",
            hint="Leave --report out, or give the model's own folder.",
        )
    return predictor


def _tell(tried: Tried, predictor: Classifier, outcome: Outcome, *, as_json: bool) -> None:
    from ulmfit.train.metrics import indicators
    from ulmfit.train.reliability import coverage_table

    evaluation, fit, p = outcome.model, outcome.reliability, outcome.probabilities
    assert evaluation is not None and fit is not None and p is not None
    assert tried.data.labels is not None
    targets = indicators(tried.data.labels, predictor.labels)
    coverage = coverage_table(p, targets, multi_label=predictor.multi_label)
    if as_json:
        print_json(
            {
                "model": str(tried.model),
                "data": tried.data.name,
                "report": tried.report and str(tried.report),
                **evaluation.to_dict(),
                "reliability": fit.to_dict(),
                "coverage": [row.to_dict() for row in coverage],
            }
        )
        return
    title = f"{tried.model} on {evaluation.rows:,} rows of {tried.data.name}"
    shown = [evaluation_text(evaluation, title), reliability_text(fit, coverage)]
    if tried.report is not None:
        shown.append(f"Report: {tried.report}")
    typer.echo("\n\n".join(shown))


def _training_rows(source: str, columns: Columns, predictor: Classifier) -> Dataset:
    from ulmfit.data.datasets import rows_with_text

    train = rows_with_text(columns.load(source))
    _require_labels_of(train, predictor)
    return train


def _require_labels_of(dataset: Dataset, predictor: Classifier) -> None:
    """Refuse labels that the model cannot give."""
    from ulmfit.train.metrics import require_known

    if dataset.multi_label and not predictor.multi_label:
        raise InputError(
            f"{dataset.name}: has several labels per row",
            expected="one label per row, as the model gives",
        )
    assert dataset.labels is not None
    require_known(dataset.labels, predictor.labels, dataset.name)
