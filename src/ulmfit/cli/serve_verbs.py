"""The verb that puts a model behind HTTP."""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
from pathlib import Path
from typing import Annotated

import typer

from ulmfit.cli.app import app
from ulmfit.cli.failures import print_warning
from ulmfit.cli.help import Verb, examples
from ulmfit.cli.options import Debug, Device, Int8, Model, Quiet, Threads
from ulmfit.cli.use_verbs import PANEL

SERVICE, LIMITS = "Service", "Limits"

Host = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="ADDRESS",
        help="Address to listen on; with 0.0.0.0 other machines can connect.",
        rich_help_panel=SERVICE,
    ),
]
Port = Annotated[
    int,
    typer.Option(
        "--port",
        metavar="N",
        min=0,
        max=65_535,
        help="Port to listen on; 0 for any free one.",
        rich_help_panel=SERVICE,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="Processes, each with its own copy of the model.",
        rich_help_panel=SERVICE,
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="File with the token that clients must send.  [default: the environment variable "
        "ULMFIT_TOKEN, else none]",
        rich_help_panel=SERVICE,
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        metavar="P",
        min=0.0,
        max=1.0,
        help="Give no label if the probability of being right is below P.",
        rich_help_panel=SERVICE,
    ),
]
AccessLog = Annotated[
    bool,
    typer.Option(
        "--access-log",
        help="Log method, path, status and time of each request, never a text.",
        rich_help_panel=SERVICE,
    ),
]
MaxBody = Annotated[
    int,
    typer.Option(
        "--max-body", metavar="BYTES", min=1, help="Size of a request.", rich_help_panel=LIMITS
    ),
]
MaxTexts = Annotated[
    int,
    typer.Option(
        "--max-texts", metavar="N", min=1, help="Texts in a request.", rich_help_panel=LIMITS
    ),
]
MaxChars = Annotated[
    int,
    typer.Option(
        "--max-chars", metavar="N", min=1, help="Characters in a text.", rich_help_panel=LIMITS
    ),
]
MaxWaiting = Annotated[
    int,
    typer.Option(
        "--max-waiting",
        metavar="N",
        min=1,
        help="Texts waiting in one worker; beyond that, clients are told to retry later.",
        rich_help_panel=LIMITS,
    ),
]


@app.command(
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="Serve a model over HTTP, with a web page.",
    epilog=examples(
        "ulmfit serve model",
        "ulmfit serve model --host 0.0.0.0 --port 80 --workers 4 --token-file token.txt",
        "curl -d '{\"text\": \"What a film!\"}' -H 'Content-Type: application/json' \\",
        "     http://127.0.0.1:8000/predict",
    ),
)
def serve(
    model: Model,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Workers = 1,
    token_file: TokenFile = None,
    min_confidence: MinConfidence = None,
    access_log: AccessLog = False,
    max_body: MaxBody = 4_194_304,
    max_texts: MaxTexts = 1_000,
    max_chars: MaxChars = 500_000,
    max_waiting: MaxWaiting = 4_000,
    device: Device = "auto",
    int8: Int8 = False,
    threads: Threads = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Serve a model over HTTP: a page at /, POST /predict and /explain, documentation at /docs.

    By default only this machine can connect; --host changes that. No text is stored or logged. When
    stopped (Ctrl-C, SIGTERM), it finishes the accepted requests.
    """
    from ulmfit.apps.serve.access import read_token
    from ulmfit.apps.serve.limits import Limits
    from ulmfit.apps.serve.server import ServeSettings, require_extra, run_service
    from ulmfit.artifacts import read_config
    from ulmfit.runtime import cpu_count

    require_extra()
    read_config(model)  # what is no model folder is refused before torch is loaded
    token = read_token(token_file)
    if token is None and not _is_loopback(host):
        _warn_of_everybody(host)
    limits = dataclasses.replace(
        Limits(), body_bytes=max_body, texts=max_texts, chars=max_chars, waiting_texts=max_waiting
    )
    settings = ServeSettings(
        model=model,
        host=host,
        port=port,
        workers=workers,
        threads=threads or max(1, cpu_count() // workers),
        device=device,
        int8=int8,
        token=token,
        min_confidence=min_confidence,
        limits=limits,
        access_log=access_log,
    )

    run_service(settings, functools.partial(_announce, model, quiet=quiet))
    if not quiet:
        typer.echo("Stopped.", err=True)


def _announce(model: Path, address: str, *, quiet: bool) -> None:
    if not quiet:
        typer.echo(f"{model} is served on {address}", err=True)
        typer.echo(f"  {address}/docs describes its interface; Ctrl-C stops it", err=True)


def _warn_of_everybody(host: str) -> None:
    print_warning(
        f"everybody who reaches {host} can use the service",
        "--token-file FILE lets in only those who have the token.",
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
