"""Arguments and options that several verbs have in common, meaning the same in all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from ulmfit.errors import SettingsError

DATA, MODEL, TRAINING, OUTPUT = "Data", "Model", "Training", "Output"

_KINDS = "CSV, TSV, JSONL, Parquet, text (each also .gz), a folder, an archive, or name:trec6"


def _set_debug(ctx: typer.Context, value: bool) -> bool:
    if value:
        ctx.find_root().meta["ulmfit.debug"] = True
    return value


def is_debug(ctx: typer.Context) -> bool:
    """Whether `--debug` was given."""
    return bool(ctx.find_root().meta.get("ulmfit.debug"))


def use_threads(count: int | None) -> None:
    """Let torch and the tokenizer use so many threads; None leaves both as they are."""
    if count is not None:
        import torch

        use_tokenizer_threads(count)
        torch.set_num_threads(count)


def use_tokenizer_threads(count: int | None) -> None:
    """Let the tokenizer use so many threads; None leaves it as it is."""
    if count is not None:
        os.environ["RAYON_NUM_THREADS"] = str(count)


Data = Annotated[
    str, typer.Argument(metavar="DATA", help=f"Labelled texts: {_KINDS}; - is standard input.")
]
Text = Annotated[
    str | None,
    typer.Option(
        "--text",
        metavar="COL",
        help="Text column, or several as title,body.  [default: found automatically]",
        rich_help_panel=DATA,
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        metavar="COL",
        help="Label column, or several 0/1 columns as toxic,threat (multi-label).  "
        "[default: found automatically]",
        rich_help_panel=DATA,
    ),
]
LabelSeparator = Annotated[
    str | None,
    typer.Option(
        "--label-separator",
        metavar="STR",
        help="Separator between the labels of a row (multi-label).",
        rich_help_panel=DATA,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="Encoding of text files, such as cp1252.  [default: by byte order mark, else UTF-8]",
        rich_help_panel=DATA,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Folder with one subfolder per data set, for names such as name:imdb.",
        rich_help_panel=DATA,
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on standard output."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Show the traceback of an error.",
        callback=_set_debug,
        is_eager=True,
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option(
        "--device",
        metavar="NAME",
        help="Where to compute: cpu, cuda or mps; auto uses a GPU if there is one.",
    ),
]
TrainingPrecision = Annotated[
    Literal["auto", "float32", "bf16"],
    typer.Option(
        "--precision",
        metavar="NAME",
        help="Precision of matrix products in training: float32 or bf16; auto takes the faster "
        "one on this processor.",
    ),
]
Int8 = Annotated[
    bool,
    typer.Option(
        "--int8",
        help="Compute in 8-bit integers, on a CPU: faster for many texts, not for single ones.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        help="CPU threads to use.  [default: all cores]",
    ),
]
Test = Annotated[
    str | None,
    typer.Option(
        "--test",
        metavar="FILE",
        help="Labelled texts to test on.  [default: the test split of DATA, or a part of it]",
        rich_help_panel=DATA,
    ),
]
TestFraction = Annotated[
    float,
    typer.Option(
        "--test-fraction",
        metavar="SHARE",
        help="Share of DATA to hold out if there is no test data; 0 for none.",
        rich_help_panel=DATA,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        help="Train on N rows only, a stratified random sample.",
        rich_help_panel=DATA,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        min=0,
        max=2**32 - 1,
        help="Random seed.",
        rich_help_panel=TRAINING,
    ),
]
Model = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help="Model folder made by `ulmfit train` or `ulmfit export`."),
]
TrainedModel = Annotated[
    Path, typer.Argument(metavar="MODEL", help="Model folder made by `ulmfit train`.")
]
Corpora = Annotated[
    list[str],
    typer.Argument(
        metavar="CORPUS",
        help="Texts; labels, if any, are ignored: CSV, TSV, JSONL, Parquet, text (each also .gz), "
        "a folder, or name:imdb.",
    ),
]
LM = Annotated[
    str,
    typer.Option(
        "--lm",
        metavar="NAME|DIR",
        help="Language model to start from: a name listed by `ulmfit lms`, or a folder.",
        rich_help_panel=TRAINING,
    ),
]
Preset = Annotated[
    str,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="Named settings: default, paper, fastai2 or released-code.",
        rich_help_panel=TRAINING,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, such as classifier.epochs=5 (for `pretrain`: pretrain.epochs=5); "
        "may be repeated.",
        rich_help_panel=TRAINING,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="TOML file with settings, such as [classifier] epochs = 5.",
        rich_help_panel=TRAINING,
    ),
]
DirectionName = Annotated[
    Literal["forward", "backward", "both"],
    typer.Option(
        "--direction",
        metavar="NAME",
        help="Reading direction: forward, backward, or both: one model each, twice the work.",
        rich_help_panel=TRAINING,
    ),
]
Valid = Annotated[
    str | None,
    typer.Option(
        "--valid",
        metavar="FILE",
        help="Validation data to choose the best epoch by.  [default: a part of the training data]",
        rich_help_panel=DATA,
    ),
]
Out = Annotated[
    Path,
    typer.Option("--out", metavar="DIR", help="Folder for the model.", rich_help_panel=OUTPUT),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue the stopped run in the --out folder.",
        rich_help_panel=OUTPUT,
    ),
]
OutOrDefault = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder for the model.  [default: runs/ followed by the name of DATA]",
        rich_help_panel=OUTPUT,
    ),
]
TunedLM = Annotated[
    str,
    typer.Option(
        "--lm",
        metavar="NAME|DIR",
        help="Language model: a folder made by `ulmfit finetune-lm`.",
        rich_help_panel=TRAINING,
    ),
]
Unlabeled = Annotated[
    list[str] | None,
    typer.Option(
        "--unlabeled",
        metavar="FILE",
        help="More text of the same kind, for fine-tuning the language model and, if "
        "self_training is set, for a second round of the classifier; may be repeated. Test texts "
        "in it are left out.",
        rich_help_panel=DATA,
    ),
]
MultiLabel = Annotated[
    bool,
    typer.Option(
        "--multi-label",
        help="Rows can have several labels, separated by | (or by --label-separator). Not needed "
        "for lists or several 0/1 columns.",
        rich_help_panel=DATA,
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write an HTML report: a single file, to open in a browser.",
        rich_help_panel=OUTPUT,
    ),
]
NoReport = Annotated[
    bool,
    typer.Option(
        "--no-report",
        help="Do not write report.html, which quotes texts of DATA.",
        rich_help_panel=OUTPUT,
    ),
]
TrainingData = Annotated[
    str | None,
    typer.Option(
        "--train",
        metavar="FILE",
        help="The model's training data: adds the baseline, and texts that are in both, to the "
        "report.",
        rich_help_panel=DATA,
    ),
]
NoBaseline = Annotated[
    bool,
    typer.Option(
        "--no-baseline",
        help="Skip the comparison with TF-IDF and logistic regression.",
        rich_help_panel=OUTPUT,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="COL=A,B",
        help="Only rows with A or B in column COL; may be repeated.",
        rich_help_panel=DATA,
    ),
]
Info = Annotated[
    list[str] | None,
    typer.Option(
        "--info",
        metavar="KEY=TEXT",
        help="An entry for the model card, such as licence='CC BY-SA 4.0'; may be repeated.",
        rich_help_panel=OUTPUT,
    ),
]
Store = Annotated[
    Literal["float32", "half", "8bit"],
    typer.Option(
        "--store",
        metavar="FORM",
        help="Format of the weights on disk: float32, half (half the size), or 8bit (a quarter).",
        rich_help_panel=OUTPUT,
    ),
]


def parse_where(conditions: list[str] | None) -> dict[str, set[str]] | None:
    """`["source=A,B"]` -> `{"source": {"A", "B"}}`; None for no condition.

    Raises:
        SettingsError: one without an equals sign.
    """
    found: dict[str, set[str]] = {}
    for column, values in _pairs(conditions, "--where", "COL=A,B, such as source=wiki,news"):
        found.setdefault(column, set()).update(part.strip() for part in values.split(","))
    return found or None


def parse_info(facts: list[str] | None) -> dict[str, str]:
    """`["licence=CC0"]` -> `{"licence": "CC0"}`.

    Raises:
        SettingsError: one without an equals sign.
    """
    return dict(_pairs(facts, "--info", "KEY=TEXT, such as licence='CC BY-SA 4.0'"))


def _pairs(given: list[str] | None, option: str, expected: str) -> Iterator[tuple[str, str]]:
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise SettingsError(f"{option} {text!r} has no '='", expected=expected)
        yield key.strip(), value.strip()
