"""Verbs that share models through a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ulmfit.cli.app import app
from ulmfit.cli.help import Verb, example_command, examples
from ulmfit.cli.options import OUTPUT, Debug, Json, Model
from ulmfit.cli.printing import print_json

PANEL = "Share a model"

Repo = Annotated[str, typer.Argument(metavar="REPO", help="Repository on the hub: OWNER/NAME.")]


@app.command(
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="Upload a model folder to the hub.",
    epilog=examples(
        "ulmfit push model me/reviews",
        "ulmfit push model me/reviews --public --message 'Trained on 2026 data'",
    ),
)
def push(
    model: Model,
    repo: Repo,
    public: Annotated[
        bool,
        typer.Option(
            "--public",
            help="Make a new repository public.  [default: private]",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    with_report: Annotated[
        bool,
        typer.Option(
            "--with-report",
            help="Also upload report.html, which quotes texts of your data.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    message: Annotated[
        str,
        typer.Option("--message", metavar="STR", help="Commit message.", rich_help_panel=OUTPUT),
    ] = "Upload a model of ulmfit",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Upload a model folder to the Hugging Face hub (needs the extra `hub` and a token).

    README.md becomes the model card. A new repository is private unless --public is given.
    """
    from ulmfit.apps import hub

    address = hub.push(model, repo, public=public, report=with_report, message=message)
    if as_json:
        print_json({"model": str(model), "repository": repo, "address": address})
        return
    typer.echo(f"{model} is at {address}\n\nElsewhere:\n  {example_command('pull', repo, 'model')}")


@app.command(
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="Download a model folder from the hub.",
    epilog=examples(
        "ulmfit pull me/reviews model",
        "ulmfit pull me/reviews model --revision v1",
    ),
)
def pull(
    repo: Repo,
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the model.")],
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision",
            metavar="NAME",
            help="Branch, tag or commit.  [default: the newest]",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Download a model from the Hugging Face hub (needs the extra `hub`).

    Every file is verified by its SHA-256 before it replaces anything. No code is fetched or run.
    """
    from ulmfit.apps import hub

    hub.pull(repo, out, revision=revision)
    if as_json:
        print_json({"repository": repo, "model": str(out)})
        return
    typer.echo(f"Model: {out}\n\nTry it:\n  {example_command('predict', str(out), 'FILE')}")
