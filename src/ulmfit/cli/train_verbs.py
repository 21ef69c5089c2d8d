"""Verbs that train a classifier: all stages, or the last one alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from ulmfit.artifacts import REPORT
from ulmfit.cli.app import app
from ulmfit.cli.help import TrainingVerb, examples
from ulmfit.cli.labelled import Columns, Parts, load_parts
from ulmfit.cli.options import (
    LM,
    Config,
    Data,
    DataDir,
    Debug,
    Device,
    DirectionName,
    Encoding,
    Json,
    Label,
    LabelSeparator,
    Limit,
    MultiLabel,
    NoBaseline,
    NoReport,
    Out,
    OutOrDefault,
    Preset,
    Quiet,
    Resume,
    Seed,
    Set,
    Test,
    TestFraction,
    Text,
    Threads,
    TrainingPrecision,
    TunedLM,
    Unlabeled,
    Valid,
    use_threads,
)
from ulmfit.cli.outcomes import (
    calibration_text,
    data_record,
    example_text,
    judge,
    outcome_text,
    say_next,
    score_record,
)
from ulmfit.cli.printing import print_json
from ulmfit.cli.reports import write_report
from ulmfit.cli.training_runs import Place, default_out, read_settings, reader
from ulmfit.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ulmfit.apps.run import Texts
    from ulmfit.data.datasets import Dataset
    from ulmfit.settings import Settings

PANEL = "Train"


@dataclass(frozen=True)
class Recipe:
    """What to train from, and how.

    Attributes:
        lm: name or folder of the language model.
        direction: forward, backward or both.
        settings: of the stages.
        unlabeled: opens more text of the same kind.
        valid: held-out rows that choose the epoch.
        baseline: whether to compare with TF-IDF and logistic regression.
        report: whether to write the report.
    """

    lm: str
    direction: str
    settings: Settings
    unlabeled: Texts | None
    valid: Dataset | None
    baseline: bool
    report: bool


@app.command(
    cls=TrainingVerb,
    rich_help_panel=PANEL,
    short_help="Train a classifier on labelled texts: all stages.",
    epilog=examples(
        "ulmfit train reviews.csv --out model",
        "ulmfit train train.csv --test test.csv --unlabeled more.txt --out model",
        "ulmfit train tickets.jsonl --text body --label topic --set classifier.epochs=5",
        "ulmfit train name:trec6 --preset paper --direction forward --seed 1",
    ),
)
def train(
    data: Data,
    test: Test = None,
    test_fraction: TestFraction = 0.2,
    unlabeled: Unlabeled = None,
    valid: Valid = None,
    text: Text = None,
    label: Label = None,
    multi_label: MultiLabel = False,
    label_separator: LabelSeparator = None,
    limit: Limit = None,
    encoding: Encoding = None,
    data_dir: DataDir = None,
    lm: LM = "en-small",
    preset: Preset = "default",
    direction: DirectionName = "both",
    changes: Set = None,
    config: Config = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: TrainingPrecision = "auto",
    threads: Threads = None,
    out: OutOrDefault = None,
    resume: Resume = False,
    no_baseline: NoBaseline = False,
    no_report: NoReport = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a classifier on labelled texts.

    A pretrained language model is fine-tuned on the texts, then on the labels. The classifier is
    tested beside TF-IDF with logistic regression; without --test, a part of DATA is held out.
    """
    settings = read_settings(preset, config, changes, unused=["pretrain"])
    _require_use(unlabeled, settings)
    columns = Columns(text, label, label_separator, encoding, data_dir, multi_label)
    more = reader(unlabeled, columns)
    parts = load_parts(
        data, columns, test=test, test_fraction=test_fraction, limit=limit, seed=seed
    )
    held_out = columns.load(valid, "valid") if valid else None
    more = without_test_texts(more, parts.test)
    recipe = Recipe(lm, direction, settings, more, held_out, not no_baseline, not no_report)
    where = out or default_out(data)
    place = Place(where, seed, resume, quiet, device, precision, as_json=as_json)
    use_threads(threads)
    _train(recipe, parts, place)


def _require_use(unlabeled: list[str] | None, settings: Settings) -> None:
    if unlabeled and settings.finetune_lm is None and settings.self_training is None:
        raise SettingsError(
            "--unlabeled is for finetune_lm and self_training, which are both left out",
            hint="Set self_training.documents for a second round, or leave --unlabeled out.",
        )


def without_test_texts(texts: Texts | None, test: Dataset | None) -> Texts | None:
    """Texts without those to be tested on: a file of all texts often has them too.

    What a language model has read, it is surer of than of what users will send.
    """
    if texts is None or test is None:
        return texts
    known = frozenset(test.texts)

    def others() -> Iterator[str]:
        return (text for text in texts() if text not in known)

    return others


@app.command(
    cls=TrainingVerb,
    rich_help_panel=PANEL,
    short_help="Stage 3 alone: train a classifier on a fine-tuned LM.",
    epilog=examples(
        "ulmfit finetune-lm reviews.csv more.txt --out reviews-lm",
        "ulmfit finetune-classifier reviews.csv --lm reviews-lm --out model",
    ),
)
def finetune_classifier(
    data: Data,
    lm: TunedLM,
    out: Out,
    test: Test = None,
    test_fraction: TestFraction = 0.2,
    unlabeled: Unlabeled = None,
    valid: Valid = None,
    text: Text = None,
    label: Label = None,
    multi_label: MultiLabel = False,
    label_separator: LabelSeparator = None,
    limit: Limit = None,
    encoding: Encoding = None,
    data_dir: DataDir = None,
    preset: Preset = "default",
    direction: DirectionName = "both",
    changes: Set = None,
    config: Config = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: TrainingPrecision = "auto",
    threads: Threads = None,
    resume: Resume = False,
    no_baseline: NoBaseline = False,
    no_report: NoReport = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a classifier on a language model that is already fine-tuned.

    Like `ulmfit train` without LM fine-tuning, which `ulmfit finetune-lm` has done, once for any
    number of classifiers. --unlabeled is for a second round of the classifier, if self_training is
    set.
    """
    settings = read_settings(preset, config, changes, unused=["pretrain", "finetune_lm"])
    settings = settings.model_copy(update={"finetune_lm": None})
    _require_use(unlabeled, settings)
    columns = Columns(text, label, label_separator, encoding, data_dir, multi_label)
    parts = load_parts(
        data, columns, test=test, test_fraction=test_fraction, limit=limit, seed=seed
    )
    more = without_test_texts(reader(unlabeled, columns), parts.test)
    held_out = columns.load(valid, "valid") if valid else None
    recipe = Recipe(lm, direction, settings, more, held_out, not no_baseline, not no_report)
    place = Place(out, seed, resume, quiet, device, precision, as_json=as_json)
    use_threads(threads)
    _train(recipe, parts, place)


def _train(recipe: Recipe, parts: Parts, place: Place) -> None:
    # Data first, torch second: who has misspelt a name should not wait for it.
    from ulmfit.apps.pretrained import resolve_lms
    from ulmfit.apps.training import train_classifier
    from ulmfit.config import DIRECTIONS

    place.prepare(recipe.lm)
    display = place.display()
    display.note(parts.summary())
    lms = resolve_lms(recipe.lm, DIRECTIONS[recipe.direction])
    with place.run(display) as run:
        predictor = train_classifier(
            parts.train,
            lms,
            recipe.settings,
            run,
            unlabeled=recipe.unlabeled,
            valid=recipe.valid,
        )
        log = place.log()
        predictor.save(place.out, log=log)  # before the test, which takes its time as well
        outcome = judge(predictor, parts, display, baseline=recipe.baseline)
        scores = {**score_record(outcome), "data": data_record(parts)}
        predictor.metrics.update({**scores, **run.made_by()})
        predictor.save(place.out, log=log)
        report = place.out / REPORT if recipe.report else None
        if report is not None:
            display.note("writing the report")
            write_report(
                report,
                place.out,
                predictor,
                outcome,
                train=parts.train,
                test=parts.test,
                origin=parts.origin,
                log=log,
            )
    if place.as_json:
        print_json(
            {
                "model": str(place.out),
                "report": report and str(report),
                "classes": predictor.labels,
                "train_rows": len(parts.train),
                "test_rows_from": parts.origin,
                "test": outcome.model and outcome.model.to_dict(),
                "baseline": outcome.baseline and outcome.baseline.to_dict(),
                "calibration": predictor.metrics.get("calibration"),
                "reliability": outcome.reliability and outcome.reliability.to_dict(),
            }
        )
        return
    texts = parts.test.texts if parts.test is not None else parts.train.texts
    calibrated = calibration_text(predictor.metrics, outcome)
    advice = say_next(place.out, example_text(texts), report)
    typer.echo(f"{outcome_text(outcome, parts)}\n\n{calibrated}\n\n{advice}")
