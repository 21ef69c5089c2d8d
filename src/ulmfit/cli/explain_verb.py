"""The verb that shows which words an answer comes from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ulmfit.cli.app import app
from ulmfit.cli.corpora import require_times
from ulmfit.cli.explanations import explanation_text, rough
from ulmfit.cli.failures import is_colored
from ulmfit.cli.help import Verb, examples
from ulmfit.cli.options import (
    DATA,
    OUTPUT,
    Debug,
    Device,
    Json,
    Quiet,
    Threads,
    TrainedModel,
    use_threads,
)
from ulmfit.cli.printing import print_json
from ulmfit.errors import InputError, SettingsError

GivenText = Annotated[
    str,
    typer.Option(
        "--text",
        metavar="STR",
        help="The text to explain; - is standard input.",
        rich_help_panel=DATA,
    ),
]
GivenLabel = Annotated[
    str | None,
    typer.Option(
        "--label",
        metavar="NAME",
        help="The label to explain.  [default: the most probable one]",
        rich_help_panel=DATA,
    ),
]
MethodName = Annotated[
    Literal["integrated-gradients", "occlusion"],
    typer.Option(
        "--method",
        metavar="NAME",
        help="integrated-gradients: contributions add up to the change in log-odds; occlusion: "
        "drops the words one by one.",
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        "--seconds",
        metavar="S",
        help="Take about so long, with rougher contributions to a long text if it needs more; it "
        "is read five times at least, however long that takes.",
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        help="Write a page with the text highlighted.",
        rich_help_panel=OUTPUT,
    ),
]


@app.command(
    cls=Verb,
    rich_help_panel="Use a model",
    short_help="Show how much each word contributed to an answer.",
    epilog=examples(
        "ulmfit explain model --text 'What a film!'",
        "ulmfit explain model --text 'What a film!' --label bad --html why.html",
        "cat letter.txt | ulmfit explain model --text - --json",
        "cat report.txt | ulmfit explain model --text - --seconds 60",
    ),
)
def explain(
    model: TrainedModel,
    text: GivenText,
    label: GivenLabel = None,
    method: MethodName = "integrated-gradients",
    seconds: Seconds = None,
    html: Html = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show which words of a text speak for a label, and which against it.

    Each word gets its contribution to the label's log-odds, compared with the same text with all
    words dropped. --json gives the contributions with their character positions, and how much of
    the change in log-odds they leave unexplained: except for rare texts, at most 2 % of the sum of
    their sizes. Texts longer than a page take a while, which --seconds shortens; progress is shown.
    """
    if seconds is not None and method == "occlusion":
        raise SettingsError(
            f"--seconds {seconds:g} has no effect with --method occlusion",
            expected="it only with integrated-gradients",
        )
    require_times({"--seconds": seconds})
    if text == "-":
        text = _read_stdin()
    use_threads(threads)
    from ulmfit.apps.display import make_display
    from ulmfit.apps.explain import explain as explain_text
    from ulmfit.apps.predictor import Predictor
    from ulmfit.data.tables import whole_characters

    text = whole_characters(text)  # bytes of the command line that are no characters
    predictor, display = Predictor.load(model, device), make_display(quiet=quiet)
    found = explain_text(predictor, text, label, method=method, seconds=seconds, display=display)
    if html is not None:
        from ulmfit.apps.highlights import explanation_page
        from ulmfit.storage import atomic_write

        atomic_write(html, explanation_page(found).encode("utf-8", "replace"))
        typer.echo(f"wrote {html}{rough(found)}", err=True)
    if as_json:
        print_json(found.to_dict())
    elif html is None:
        typer.echo(explanation_text(found, colour=is_colored(sys.stdout)))


def _read_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise InputError(
            f"standard input is not UTF-8 (byte {error.start})", expected="text in UTF-8"
        ) from error
