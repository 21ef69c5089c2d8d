"""The Typer application that the files of verbs add their commands to."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ulmfit.cli.failures import readable_warnings, reported
from ulmfit.cli.help import examples, format_verbs, print_version
from ulmfit.cli.options import is_debug

ORDER = (
    *("train", "pretrain", "pack", "finetune-lm", "finetune-classifier"),
    *("predict", "explain", "evaluate", "export", "serve"),
    *("push", "pull"),
    *("check", "baseline"),
    *("lms", "evaluate-lm", "import-lm"),
    "reproduce",
)


class Verbs(TyperGroup):
    """All verbs; whatever goes wrong in one of them is reported here."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""

        def debug() -> bool:
            return is_debug(ctx)

        with reported(debug), readable_warnings(debug):
            return super().invoke(ctx)

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order in which people need them."""
        return sorted(self.commands, key=ORDER.index)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Description, examples, verbs by what they are for."""
        format_verbs(self, ctx, formatter)


app = typer.Typer(
    name="ulmfit",
    cls=Verbs,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "ulmfit check reviews.csv",
        "ulmfit train reviews.csv --out model",
        "ulmfit predict model new.csv -o labelled.csv",
        "ulmfit predict model --text 'What a film!'",
    ),
)

Version = Annotated[
    bool,
    typer.Option("--version", help="Show the version.", callback=print_version, is_eager=True),
]


@app.callback()
def ulmfit(version: Version = False) -> None:
    """Train a text classifier from a few labelled texts, on your own machine.

    ULMFiT: a pretrained language model is fine-tuned on your texts, then on your labels.
    """
