"""Verbs that use a trained model."""

from __future__ import annotations

import errno
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ulmfit.cli.app import app
from ulmfit.cli.classified import (
    answer_text,
    classify,
    classify_rows,
    load_for_use,
    print_document,
    print_lines,
)
from ulmfit.cli.help import Verb, examples
from ulmfit.cli.options import (
    DATA,
    OUTPUT,
    DataDir,
    Debug,
    Device,
    Encoding,
    Int8,
    Json,
    Model,
    Quiet,
    Threads,
)
from ulmfit.cli.prediction_runs import PredictionRun, write_rows, writer_of
from ulmfit.cli.printing import print_json
from ulmfit.errors import InputError, SettingsError

if TYPE_CHECKING:
    from ulmfit.apps.classifiers import Classifier
    from ulmfit.data.streams import Rows

PANEL = "Use a model"
_ROWS_ON_SCREEN = 16  # at a time, so that the first lines come soon


InputFile = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE",
        help="Texts: CSV, TSV, JSONL, Parquet or text, each also .gz; - is standard input.",
    ),
]
GivenTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--text",
        metavar="STR",
        help="A text to label; may be repeated.",
        rich_help_panel=DATA,
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text-column",
        metavar="COL",
        help="Text column of FILE, or several as title,body.  [default: found automatically]",
        rich_help_panel=DATA,
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        metavar="P",
        min=0.0,
        max=1.0,
        help="Give no label if the probability of being right is below P; adds the column "
        "abstained.  [default: always give a label]",
        rich_help_panel=OUTPUT,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Where to write: .csv, .tsv, .jsonl (each also .gz) or .parquet; - is standard "
        "output. CSV keeps the delimiter of a CSV file.  [default: lines on a terminal, else "
        "CSV on standard output]",
        rich_help_panel=OUTPUT,
    ),
]
ResumePredict = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue a stopped run that was writing the same output file.",
        rich_help_panel=OUTPUT,
    ),
]


@app.command(
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="Label texts from a file, stdin or the command line.",
    epilog=examples(
        "ulmfit predict model new.csv -o labelled.csv",
        "ulmfit predict model --text 'What a film!' --text 'Never again.'",
        "ulmfit predict model new.jsonl --text-column body -o out.parquet",
        "ulmfit predict model new.csv -o labelled.csv --resume",
        "ulmfit predict model new.csv --min-confidence 0.9 -o sure.csv",
        "cat questions.txt | ulmfit predict model - | head",
    ),
)
def predict(
    model: Model,
    file: InputFile = None,
    text: GivenTexts = None,
    text_column: TextColumn = None,
    encoding: Encoding = None,
    data_dir: DataDir = None,
    output: Output = None,
    min_confidence: MinConfidence = None,
    resume: ResumePredict = False,
    device: Device = "auto",
    int8: Int8 = False,
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Label texts with a trained model.

    The output has the rows of FILE in the same order with all their columns, and adds the columns
    predicted_label and probability_<class>. A file of any size is processed in constant memory.
    The output file appears only when it is complete; --resume continues a stopped run and ends
    with the same file. With --min-confidence, rows below P get no label and True in the column
    abstained; their probabilities are still written.
    """
    _require_one_input(file, text, text_column, output)
    _require_output(output, resume=resume, as_json=as_json)
    if file is None:
        predictor = load_for_use(model, device, threads, int8=int8).abstaining(min_confidence)
        _predict_texts(predictor, _whole(text or []), as_json=as_json)
        return
    from ulmfit.apps.predictions import PredictionWriter
    from ulmfit.data.streams import count_rows, open_rows

    with (
        _told_for_predict(),
        open_rows(file, text=text_column, data_dir=data_dir, encoding=encoding) as rows,
    ):
        if output is not None:
            PredictionWriter(output, rows.schema)  # refuses a name before the model is loaded
        elif as_json:  # a broken row is found before half of a document is printed
            count_rows(file, text=text_column, data_dir=data_dir, encoding=encoding)
        predictor = load_for_use(model, device, threads, int8=int8).abstaining(min_confidence)
        if output is None or str(output) == "-":
            _print_rows(predictor, rows, output, as_json=as_json, quiet=quiet)
            return
        options = {
            "encoding": encoding,
            "min_confidence": min_confidence,
            "device": device,
            "int8": int8,
        }
        run = PredictionRun(
            output, model, file, options, resume=resume, quiet=quiet, text=text_column
        )
        counts = run.write(predictor, rows, data_dir)
    _tell_written(output, counts, as_json=as_json, quiet=quiet)


def _require_one_input(
    file: str | None, texts: list[str] | None, column: str | None, output: Path | None
) -> None:
    if file is None and not texts:
        raise SettingsError(
            "nothing to label",
            expected="FILE, - for standard input, or --text STR",
            hint="See `ulmfit predict --help`.",
        )
    if file is not None and texts:
        raise SettingsError(
            f"both FILE ({file}) and --text ({texts[0]!r}) are given",
            expected="one of them",
            hint="The column of the texts in FILE is named with --text-column.",
        )
    if file is None and (column or output):
        name = "--text-column" if column else "--output"
        raise SettingsError(f"{name} goes with FILE, not with --text")


def _require_output(output: Path | None, *, resume: bool, as_json: bool) -> None:
    if resume and (output is None or str(output) == "-"):
        raise SettingsError(
            "--resume has no output file to go on with",
            expected="-o FILE, the file that the stopped run was writing",
        )
    if as_json and str(output) == "-":
        raise SettingsError("-o - prints CSV, and --json a document", expected="one of them")


@contextmanager
def _told_for_predict() -> Iterator[None]:
    """Elsewhere the column is named by `--text COL`; here that is a text to label."""
    try:
        yield
    except InputError as error:
        raise _for_predict(error) from error


def _for_predict(error: InputError) -> InputError:

    def renamed(text: str | None) -> str | None:
        return None if text is None else re.sub(r"--text\b(?!-)", "--text-column", text)

    problem = renamed(error.problem) or ""
    if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENAMETOOLONG:
        hint = "A text to label is given with `--text`, not in the place of FILE."
        return InputError(problem, expected=error.expected, hint=hint)
    return InputError(problem, expected=renamed(error.expected), hint=renamed(error.hint))


def _whole(texts: list[str]) -> list[str]:
    """Bytes of the command line that are no characters come as half ones; `serve` does the same."""
    from ulmfit.data.tables import whole_characters

    return [whole_characters(text) for text in texts]


def _predict_texts(predictor: Classifier, texts: list[str], *, as_json: bool) -> None:
    answers = classify(predictor, texts)
    if as_json:
        several = predictor.multi_label
        print_document(iter([answers]), predictor.labels, multi_label=several, with_texts=True)
        return
    parts = []
    for text, label, row in zip(texts, answers.labels, answers.probabilities, strict=True):
        shown = answer_text(label, predictor.labels, row)
        parts.append(f"{text}\n{shown}" if len(texts) > 1 else shown)
    typer.echo("\n\n".join(parts))


def _print_rows(
    predictor: Classifier, rows: Rows, output: Path | None, *, as_json: bool, quiet: bool
) -> None:
    """On standard output: lines for a terminal, a JSON document, or CSV."""
    from ulmfit.apps.display import make_display

    on_screen = output is None and sys.stdout.isatty()
    display = make_display(quiet=quiet or on_screen)
    if output is None and (as_json or on_screen):
        slices = classify_rows(predictor, rows, display, _ROWS_ON_SCREEN)
        several = predictor.multi_label
        if as_json:
            print_document(slices, predictor.labels, multi_label=several, with_texts=False)
        else:
            print_lines(slices, predictor.labels, multi_label=several)
        return
    writer = writer_of(predictor, rows, Path("-"))
    write_rows(classify_rows(predictor, rows, display), writer)


def _tell_written(target: Path, counts: Counter[str], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json({"output": str(target), "rows": counts.total(), "predicted": dict(counts)})
    elif not quiet:
        common = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(10))
        found = f"{counts.total():,} rows ({common})" if counts else "no rows, as there are none"
        typer.echo(f"wrote {target}: {found}", err=True)
