"""The `ulmfit` command."""

from __future__ import annotations

import sys
from io import TextIOWrapper

from ulmfit.cli import (
    data_verbs,
    evaluate_verb,
    explain_verb,
    export_verbs,
    hub_verbs,
    import_verb,
    lm_library_verbs,
    lm_verbs,
    paper_verbs,
    serve_verbs,
    train_verbs,
    use_verbs,
)
from ulmfit.cli.app import app
from ulmfit.cli.failures import INTERRUPTED, silence_stdout

__all__ = [
    "app",
    "data_verbs",
    "evaluate_verb",
    "explain_verb",
    "export_verbs",
    "hub_verbs",
    "import_verb",
    "lm_library_verbs",
    "lm_verbs",
    "paper_verbs",
    "run",
    "serve_verbs",
    "train_verbs",
    "use_verbs",
]


def run() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not every terminal has every character
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="ulmfit")
    except KeyboardInterrupt:  # before or after the verb itself
        sys.exit(INTERRUPTED)
    finally:
        _flush()


def _flush() -> None:
    """Write out what is buffered while a closed pipe can still be dealt with."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()
