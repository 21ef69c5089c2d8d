from __future__ import annotations

import io
import os
import sys
import warnings

import pytest
import typer

from ulmfit.cli.failures import (
    exit_code,
    explain,
    print_error,
    readable_warnings,
    reported,
    silence_stdout,
)
from ulmfit.errors import InputError, Interrupted, StorageError


def never() -> bool:
    return False


def code_of(error: BaseException, *, debug: bool = False) -> int:
    with pytest.raises(typer.Exit) as caught, reported(lambda: debug):
        raise error
    return int(caught.value.exit_code)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("a"), 2),
        (StorageError("a"), 1),
        (Interrupted("a"), 130),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("division by zero"), 1),
        (MemoryError(), 1),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert exit_code(error) == code
    assert code_of(error) == code


def test_an_error_is_a_block_that_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    code_of(InputError("a.csv: no column 'x'", expected="one of 'y', 'z'", hint="Did you mean y?"))
    out, err = capsys.readouterr()
    assert out == ""
    assert err == ("Error: a.csv: no column 'x'\n  Expected: one of 'y', 'z'\n  Did you mean y?\n")


def test_lines_within_a_problem_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    code_of(InputError("2 settings are wrong:\n  a is no setting\n  b = -1: expected > 0"))
    assert capsys.readouterr().err == (
        "Error: 2 settings are wrong:\n  a is no setting\n  b = -1: expected > 0\n"
    )


def test_an_unexpected_error_is_named_without_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code_of(ZeroDivisionError("division by zero"))
    assert capsys.readouterr().err == (
        "Error: unexpected ZeroDivisionError: division by zero\n"
        "  This should not happen. Run the same command with --debug to see where it came from.\n"
    )
    assert explain(NotImplementedError())[0] == "unexpected NotImplementedError"


def test_without_torch_it_is_said_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    error = ModuleNotFoundError("No module named 'torch'", name="torch")
    with pytest.raises(typer.Exit), reported(lambda: False):
        raise error
    message = capsys.readouterr().err
    assert message.startswith("Error: torch is not installed, which this needs\n")
    assert "pip install torch" in message
    assert "should not happen" not in message
    assert explain(ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow")) == [
        "pyarrow is not installed, which this needs",
        "Install it with `pip install pyarrow`.",
    ]


def test_debug_shows_the_traceback_and_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(InputError("no file"), debug=True) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.endswith("Error: no file\n")


def test_being_stopped_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    code_of(Interrupted("stopped at step 3", hint="Use --resume."))
    assert capsys.readouterr().err == "Stopped at step 3\n  Use --resume.\n"
    code_of(KeyboardInterrupt())
    assert capsys.readouterr().err == "Stopped.\n"


@pytest.mark.parametrize("error", [typer.Exit(3), typer.Abort(), typer.BadParameter("x")])
def test_what_the_parser_raises_passes(error: Exception) -> None:
    with pytest.raises(type(error)), reported(never):
        raise error


def test_a_terminal_gets_wrapped_lines_and_color(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    print_error("a problem that takes more than forty columns to tell", "And what to do about it.")
    lines = screen.getvalue().splitlines()
    assert lines[0].startswith("\x1b[")
    assert lines[1:] == ["  forty columns to tell", "  And what to do about it."]

    monkeypatch.setenv("NO_COLOR", "1")
    print_error("plain")
    assert screen.getvalue().splitlines()[-1] == "Error: plain"


def test_warnings_of_this_package_are_blocks_and_others_are_dropped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = compile(
        "import warnings; warnings.warn('2 rows are left out', stacklevel=1)", "x", "exec"
    )
    with readable_warnings(never):
        exec(code, {"__name__": "ulmfit.data.datasets"})
        exec(code, {"__name__": "torch.nn"})
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "Warning: 2 rows are left out\n"


def test_a_closed_pipe_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    kept = os.dup(1)
    try:
        assert code_of(BrokenPipeError()) == 1
        os.write(1, b"goes nowhere")
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert capfd.readouterr() == ("", "")


def test_a_stdout_without_a_file_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    silence_stdout()


def test_memory_that_does_not_suffice_is_no_bug() -> None:
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you")):
        first, advice = explain(error)
        assert first == "there is not enough memory"
        assert "a smaller batch or a shorter window" in advice
        assert exit_code(error) == 1
