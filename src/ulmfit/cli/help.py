"""Help texts: usage, description, examples, options in groups; plain, so that they are fast.

Rich would draw boxes that need half of an 80-column terminal, and its import alone takes longer
than all of `ulmfit --help` may.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from textwrap import dedent, indent
from typing import Any

import typer
from typer.core import TyperCommand

from ulmfit.cli.several import meet_others

ARGUMENTS, GENERAL = "Arguments", "General"
_INDENT = "  "
_COLUMN = 27  # of the descriptions; longer options have a line of their own
_SHORT = 56  # characters of the line about a verb


def examples(*lines: str) -> str:
    """The epilog of a verb: its examples, as a block of code both here and in Markdown."""
    return "\n".join(["Examples:", "", *(f"    {line}" for line in lines)])


class Verb(TyperCommand):
    """One verb; its epilog holds the examples.

    Attributes:
        trains: whether several processes can share its work.
    """

    trains = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer does, without the kind of error that pydantic puts before the message."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the verb, once the other processes are met, if there are any."""
        meet_others(ctx.info_name, ctx.params.values(), trains=self.trains)
        return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS] --out DIR MODEL [FILE]`: what must be given, and the arguments."""
        params: list[Any] = self.params
        options = [param for param in params if param.param_type_name == "option"]
        pieces = [self.options_metavar or "[OPTIONS]"]
        pieces += [f"{param.opts[0]} {param.metavar}" for param in options if param.required]
        for param in params:
            if param.param_type_name == "argument":
                name = param.metavar + ("..." if param.nargs != 1 else "")
                pieces.append(name if param.required else f"[{name}]")
        return pieces

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Usage, description, examples, options."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        _write_examples(self, formatter)
        self.format_options(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, then the groups of options in the order in which they first occur."""
        groups: dict[str, list[tuple[str, str]]] = {ARGUMENTS: []}
        params: list[Any] = self.get_params(ctx)
        for param in params:
            name, text = _entry(param, ctx)
            if param.param_type_name == "argument":
                groups[ARGUMENTS].append((param.metavar, text))
            else:
                groups.setdefault(param.rich_help_panel or GENERAL, []).append((name, text))
        if GENERAL in groups:
            groups[GENERAL] = groups.pop(GENERAL)  # always the last
        _write_groups(formatter, groups)


class TrainingVerb(Verb):
    """A verb that `torchrun` may start in several processes."""

    trains = True


def format_verbs(group: Any, ctx: Any, formatter: Any) -> None:
    """Help of the whole command: the verbs in groups, with a line each."""
    group.format_usage(ctx, formatter)
    group.format_help_text(ctx, formatter)
    _write_examples(group, formatter)
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in group.list_commands(ctx):
        verb = group.get_command(ctx, name)
        groups.setdefault(verb.rich_help_panel, []).append((name, verb.get_short_help_str(_SHORT)))
    groups[GENERAL] = [_entry(param, ctx) for param in group.get_params(ctx)]
    _write_groups(formatter, groups)


def _write_examples(command: Any, formatter: Any) -> None:
    """Before the options, which are long: an example is what most people look for."""
    if command.epilog:
        title, _, lines = command.epilog.partition("\n")
        formatter.write(f"\n{title}\n{indent(dedent(lines).strip(), _INDENT)}\n")


def _entry(param: Any, ctx: Any) -> tuple[str, str]:
    """Name and description of a parameter, without what the description says anyhow."""
    name, text = param.get_help_record(ctx)
    text = re.sub(r"; [\d<=x>]+]", "]", text)
    text = re.sub(r"\s*\[[\d<=]*x[\d<=>]*]", "", text)
    if param.param_type_name == "argument":
        text = text.removesuffix("  [required]")
    # room for a short name where there is none, so that the long ones stand in a column
    return (name if re.match(r"-\w", name) else f"    {name}"), text


def _write_groups(formatter: Any, groups: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """All groups in the same two columns."""
    names = [name for entries in groups.values() for name, _ in entries]
    width = max(len(name) for name in names if len(name) <= _COLUMN)
    for title, entries in groups.items():
        if entries:
            with formatter.section(title):
                formatter.write_dl([(f"{n:<{width}}", text) for n, text in entries], width)


def example_command(*parts: str) -> str:
    """A command line that works as printed, however this program was started."""
    import shlex
    import shutil
    import sys
    from pathlib import Path

    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        program = [_relative(Path(sys.executable)), "-m", "ulmfit"]
    elif (found := shutil.which("ulmfit")) and Path(found).resolve() == started.resolve():
        program = ["ulmfit"]
    else:
        program = [_relative(started) if started.name == "ulmfit" else "ulmfit"]
    return shlex.join([*program, *parts])


def _relative(path: Any) -> str:
    from pathlib import Path

    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def print_version(wanted: bool) -> None:
    """`ulmfit 0.1.0`, and the end."""
    if wanted:
        from ulmfit import __version__

        typer.echo(f"ulmfit {__version__}")
        raise typer.Exit
