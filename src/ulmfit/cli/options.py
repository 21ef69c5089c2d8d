"""Arguments and options that several verbs have in common, meaning the same in all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DATA, MODEL, TRAINING, OUTPUT = "Data", "Model", "Training", "Output"

_KINDS = "CSV, TSV, JSONL, Parquet, text (each also .gz), a folder, an archive, or name:trec6"


def _set_debug(ctx: typer.Context, value: bool) -> bool:
    if value:
        ctx.find_root().meta["ulmfit.debug"] = True
    return value


def is_debug(ctx: typer.Context) -> bool:
    """Whether `--debug` was given."""
    return bool(ctx.find_root().meta.get("ulmfit.debug"))


Data = Annotated[
    str, typer.Argument(metavar="DATA", help=f"Labelled texts: {_KINDS}; - is standard input.")
]
Text = Annotated[
    str | None,
    typer.Option(
        "--text",
        metavar="COL",
        help="Column of the texts, or several as title,body. Found by itself where it is clear.",
        rich_help_panel=DATA,
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        metavar="COL",
        help="Column of the labels, or several 0/1 columns as toxic,threat (multi-label). "
        "Found by itself where it is clear.",
        rich_help_panel=DATA,
    ),
]
LabelSeparator = Annotated[
    str | None,
    typer.Option(
        "--label-separator",
        metavar="STR",
        help="What parts the labels of a row that has several (multi-label), such as '|'.",
        rich_help_panel=DATA,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="Encoding of text files, such as cp1252.  [default: UTF-8, or by byte order mark]",
        rich_help_panel=DATA,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Folder with one folder per data set, for names such as name:imdb.",
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
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        help="CPU threads to use.  [default: all processors]",
        rich_help_panel=TRAINING,
        show_default=False,
    ),
]
Test = Annotated[
    str | None,
    typer.Option(
        "--test",
        metavar="FILE",
        help="Labelled texts to test on.  [default: the test split of DATA, else a part of it]",
        rich_help_panel=DATA,
    ),
]
TestFraction = Annotated[
    float,
    typer.Option(
        "--test-fraction",
        metavar="SHARE",
        min=0.0,
        max=0.9,
        help="Share of DATA to hold out where there is no test data; 0 for none.",
        rich_help_panel=DATA,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        help="Train on N rows only, drawn with the labels in proportion.",
        rich_help_panel=DATA,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        min=0,
        help="Of everything that is drawn by chance.",
        rich_help_panel=TRAINING,
    ),
]
