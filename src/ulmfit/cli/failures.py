"""From exceptions to messages and exit codes: 2 bad input, 1 failure, 130 Ctrl-C."""

from __future__ import annotations

import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, cast

import typer

from ulmfit import ranks
from ulmfit.errors import StoppedElsewhere, UlmfitError, is_out_of_memory

INTERRUPTED = 130
# The base of what the parser raises, which shows itself; newer versions of Typer do not export it.
_USAGE_ERROR = cast("type[Exception]", typer.BadParameter.__mro__[1])
_WIDEST = 100  # columns


@contextmanager
def reported(debug: Callable[[], bool]) -> Iterator[None]:
    """Print what goes wrong in the block on standard error and exit with its code.

    Of several processes that train together, one prints it, and the others end with the same code.

    Args:
        debug: whether to print a traceback as well.

    Raises:
        typer.Exit: for every exception that the parser does not report itself.
    """
    try:
        yield
    except (typer.Exit, typer.Abort, _USAGE_ERROR):
        raise
    except BrokenPipeError as error:
        silence_stdout()  # whoever reads has seen enough, as in `... | head`
        raise typer.Exit(1) from error
    except BaseException as error:
        done = isinstance(error, SystemExit) and not error.code
        if debug() and not done:
            import traceback

            traceback.print_exc()
        if isinstance(error, SystemExit):
            raise
        if isinstance(error, StoppedElsewhere) or not ranks.fail(exit_code(error)):
            raise typer.Exit(exit_code(error)) from error  # another process says why
        if exit_code(error) == INTERRUPTED:
            first, *more = explain(error)
            typer.echo("\n  ".join([first[0].upper() + first[1:], *more]), err=True)
        else:
            print_error(*explain(error))
        raise typer.Exit(exit_code(error)) from error


def exit_code(error: BaseException) -> int:
    """What the process ends with."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return error.exit_code if isinstance(error, UlmfitError) else 1


def explain(error: BaseException) -> list[str]:
    """The lines of a message: what is wrong, what was expected, what to do."""
    if isinstance(error, KeyboardInterrupt):
        return ["Stopped."]
    if isinstance(error, ModuleNotFoundError) and error.name in ("pyarrow", "rich", "torch"):
        alone = " Without it, exported models predict." if error.name == "torch" else ""
        return [
            f"{error.name} is not installed, which this needs",
            f"Install it with `pip install {error.name}`.{alone}",
        ]
    if is_out_of_memory(error):
        return [
            "there is not enough memory",
            "Close other programs, or raise the limit of this one (`ulimit -v`, of a container); "
            "for training, a smaller batch or a shorter window helps (--set).",
        ]
    if not isinstance(error, UlmfitError):
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        return [
            f"unexpected {what}",
            "This should not happen. Run the same command with --debug to see where it came from.",
        ]
    lines = [error.problem]
    if error.expected is not None:
        lines.append(f"Expected: {error.expected}")
    if error.hint is not None:
        lines.append(error.hint)
    return lines


def print_error(problem: str, *more: str) -> None:
    """One block on standard error."""
    _print_block("Error", typer.colors.RED, problem, *more)


def print_warning(problem: str, *more: str) -> None:
    """One block on standard error, for what does not stop the command."""
    if ranks.rank():
        return  # the first process says the same
    _print_block("Warning", typer.colors.YELLOW, problem, *more)


def _print_block(title: str, color: str, problem: str, *more: str) -> None:
    head = f"{title}: {problem}"
    text = "\n".join([_wrapped(head, ""), *(_wrapped(line, "  ") for line in more)])
    if is_colored(sys.stderr):
        text = typer.style(f"{title}:", fg=color, bold=True) + text.removeprefix(f"{title}:")
    typer.echo(text, err=True)


def _wrapped(text: str, indent: str) -> str:
    """Wrapped between words on a terminal; elsewhere one line stays one line, to be searched."""
    lines = text.splitlines() or [""]
    if sys.stderr.isatty():
        width = min(_WIDEST, _columns())
        lines = [
            part
            for line in lines
            for part in textwrap.wrap(
                line,
                width,
                break_long_words=False,
                break_on_hyphens=False,
                initial_indent=indent,
                subsequent_indent="  ",
            )
            or [""]
        ]
        return "\n".join(lines)
    return "\n".join(f"{indent}{line}" for line in lines)


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def is_colored(stream: TextIO) -> bool:
    """Whether it is a terminal, of a user who wants colours (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


@contextmanager
def readable_warnings(debug: Callable[[], bool]) -> Iterator[None]:
    """Warnings of this package as blocks on standard error; those of its libraries not at all."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if debug() or category is UserWarning:
            print_warning(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module=r"ulmfit(\.|$)")
        warnings.showwarning = show
        yield


def silence_stdout() -> None:
    """Nobody reads standard output any more: let the last flush at exit go nowhere."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
