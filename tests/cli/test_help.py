from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import typer

from tests.cli.conftest import run
from ulmfit.cli.app import ORDER
from ulmfit.cli.help import example_command
from ulmfit.cli.main import app
from ulmfit.presets import PRESETS

VERBS = sorted(ORDER)


def help_of(*verb: str) -> str:
    done = run(*verb, "--help")
    assert done.code == 0, done
    return done.out


def commands_in(text: str) -> list[str]:
    return re.findall(r"^ +(?:cat \S+ \| )?ulmfit (.*?)(?: \| head)?$", text, re.MULTILINE)


def test_every_verb_is_listed_in_order_with_a_line_that_fits() -> None:
    listed = re.findall(r"^  ([a-z]+(?:-[a-z]+)*)  +[A-Z]", help_of(), re.MULTILINE)
    assert tuple(listed) == ORDER
    assert "..." not in help_of().split("Train:")[1]


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS)])
def test_help_fits_eighty_columns(verb: list[str]) -> None:
    lines = help_of(*verb).splitlines()
    assert max(map(len, lines)) <= 80, max(lines, key=len)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_examples_that_parse(verb: str) -> None:
    found = commands_in(help_of(verb).split("\nArguments:")[0])
    assert any(command.startswith(f"{verb} ") or command == verb for command in found)
    group = typer.main.get_command(app)
    for command in found:
        name, *arguments = shlex.split(command)
        group.commands[name].make_context(name, arguments)  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", VERBS)
def test_short_help_option_works_everywhere(verb: str) -> None:
    assert run(verb, "-h").out == help_of(verb)


@pytest.mark.parametrize("verb", VERBS)
def test_options_are_grouped_and_described(verb: str) -> None:
    text = help_of(verb)
    titles = re.findall(r"^([A-Z][a-z]+):$", text, re.MULTILINE)
    assert set(titles) <= {
        *("Examples", "Arguments", "Data", "Training", "Output", "General"),
        *("Service", "Limits"),
    }
    assert len(titles) == len(set(titles))
    assert titles[-1] == "General"
    for entry in re.findall(r"^ {2,6}(--?\w.*)$", text, re.MULTILINE):
        assert re.search(r"\S {2,}\S", entry) or len(entry) > 20, entry


def test_defaults_are_shown_and_noise_is_not() -> None:
    text = re.sub(r"\s+", " ", help_of("train"))
    assert "[default: en-small]" in text
    assert "[default: both]" in text
    assert "[default: 0.2]" in text
    assert "[required]" not in text
    assert "x>=" not in text
    assert "Usage: ulmfit train [OPTIONS] DATA " in text


def test_optional_and_repeated_arguments_are_marked() -> None:
    assert "Usage: ulmfit predict [OPTIONS] MODEL [FILE]" in help_of("predict")
    assert "Usage: ulmfit pretrain [OPTIONS] --out DIR CORPUS..." in help_of("pretrain")
    assert "Folder for the model.  [required]" in help_of("pretrain")


def test_presets_are_named() -> None:
    text = re.sub(r"\s+", " ", help_of("train"))
    listed = re.search(r"Named settings: (.*?)\.", text)
    assert listed is not None
    assert set(re.split(r", | or ", listed[1].replace("- ", "-"))) == set(PRESETS)


@pytest.mark.parametrize(
    ("started", "first"),
    [
        ("somewhere/__main__.py", f"{shlex.quote(sys.executable)} -m ulmfit"),
        ("/opt/env/bin/ulmfit", "/opt/env/bin/ulmfit"),
        ("pytest", "ulmfit"),
    ],
)
def test_a_command_is_printed_as_it_was_started(
    started: str, first: str, monkeypatch: pytest.MonkeyPatch, working_folder: Path
) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    assert example_command("predict", "my model", "--text", "it's") == (
        f"""{first} predict 'my model' --text 'it'"'"'s'"""
    )


def test_a_command_in_the_path_is_printed_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "ulmfit"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert example_command("lms") == "ulmfit lms"


def test_a_program_below_the_current_folder_is_printed_relative(
    monkeypatch: pytest.MonkeyPatch, working_folder: Path
) -> None:
    monkeypatch.setattr(sys, "argv", [str(working_folder / ".venv" / "bin" / "ulmfit")])
    assert example_command("lms") == ".venv/bin/ulmfit lms"


def test_a_choice_that_there_is_not(tmp_path: Path) -> None:
    done = run("train", "name:trec6", "--direction", "up", "--out", tmp_path / "model")
    assert done.code == 2
    wanted = "'--direction': 'up' is not one of 'forward', 'backward', 'both'."
    assert f"Error: Invalid value for {wanted}" in done.err
