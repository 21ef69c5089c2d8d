"""Verbs about data: check it, and what the simplest model makes of it."""

from __future__ import annotations

from typing import Annotated

import typer

from ulmfit.cli.app import app
from ulmfit.cli.help import Verb, examples
from ulmfit.cli.labelled import Columns, load_parts
from ulmfit.cli.options import (
    DATA,
    Data,
    DataDir,
    Debug,
    Encoding,
    Json,
    Label,
    LabelSeparator,
    Limit,
    MultiLabel,
    Seed,
    Test,
    TestFraction,
    Text,
)
from ulmfit.cli.printing import evaluation_text, print_json

PANEL = "Before you train"


@app.command(
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="Check data for duplicates, overlap and other problems.",
    epilog=examples(
        "ulmfit check reviews.csv",
        "ulmfit check train.csv --test test.csv --text body --label topic",
        "ulmfit check name:trec6 --json",
    ),
)
def check(
    data: Data,
    test: Annotated[
        str | None,
        typer.Option(
            "--test",
            metavar="FILE",
            help="Test data: also look for test texts that are in the training data.",
            rich_help_panel=DATA,
        ),
    ] = None,
    text: Text = None,
    label: Label = None,
    multi_label: MultiLabel = False,
    label_separator: LabelSeparator = None,
    encoding: Encoding = None,
    data_dir: DataDir = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check data before training: labels, lengths, duplicates, empty rows, overlap.

    All of the data is read once. Warnings do not change the exit code.
    """
    from ulmfit.data.check import check_dataset

    report = check_dataset(
        data,
        test=test,
        text=text,
        label=label,
        data_dir=data_dir,
        encoding=encoding,
        label_separator=Columns(label_separator=label_separator, multi_label=multi_label).separator,
    )
    if as_json:
        print_json(report.to_dict())
        return
    from ulmfit.cli.check_text import check_text

    typer.echo(check_text(report))


@app.command(
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="Test TF-IDF with logistic regression on the data.",
    epilog=examples(
        "ulmfit baseline reviews.csv",
        "ulmfit baseline train.csv --test test.csv",
        "ulmfit baseline name:trec6 --limit 500 --json",
    ),
)
def baseline(
    data: Data,
    test: Test = None,
    test_fraction: TestFraction = 0.2,
    text: Text = None,
    label: Label = None,
    multi_label: MultiLabel = False,
    label_separator: LabelSeparator = None,
    encoding: Encoding = None,
    data_dir: DataDir = None,
    limit: Limit = None,
    seed: Seed = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Test TF-IDF with logistic regression: the error that a trained model has to beat.

    Without --test, it is tested on the same held-out rows as in `ulmfit train`.
    """
    from ulmfit.errors import SettingsError
    from ulmfit.experiments.baselines import NAME, fit_baseline
    from ulmfit.train.metrics import evaluate_labels

    columns = Columns(text, label, label_separator, encoding, data_dir, multi_label)
    parts = load_parts(
        data, columns, test=test, test_fraction=test_fraction, limit=limit, seed=seed
    )
    if parts.test is None or parts.test.labels is None:
        raise SettingsError("--test-fraction 0 leaves nothing to test the baseline on")
    model = fit_baseline(parts.train)
    evaluation = evaluate_labels(
        parts.test.labels,
        model.predict(parts.test.texts),
        model.labels,
        multi_label=model.multi_label,
        name=parts.test.name,
    )
    if as_json:
        about = {"model": NAME, "train_rows": len(parts.train), "features": model.n_features}
        print_json({**about, "test_rows_from": parts.origin, **evaluation.to_dict()})
        return
    tested = f"tested on {evaluation.rows:,} rows, {parts.origin}"
    title = f"{NAME}, trained on {len(parts.train):,} rows\n{tested}"
    typer.echo(evaluation_text(evaluation, title))
