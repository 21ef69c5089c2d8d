from __future__ import annotations

from importlib.metadata import version

from tests.cli.conftest import run


def test_version_is_the_installed_one() -> None:
    done = run("--version")
    assert (done.code, done.out) == (0, f"ulmfit {version('ulmfit')}\n")


def test_a_misspelt_verb_is_corrected() -> None:
    done = run("trian", "a.csv")
    assert done.code == 2
    assert done.out == ""
    assert "No such command 'trian'. Did you mean 'train'" in done.err


def test_a_misspelt_option_is_corrected() -> None:
    done = run("train", "a.csv", "--unlabelled", "b.txt")
    assert done.code == 2
    assert "No such option: --unlabelled" in done.err
    assert "--unlabeled" in done.err


def test_a_missing_argument_is_named() -> None:
    done = run("evaluate", "model")
    assert done.code == 2
    assert "Missing argument 'DATA'" in done.err
    assert "Usage: ulmfit evaluate [OPTIONS] MODEL DATA" in done.err


def test_numbers_out_of_range_are_refused() -> None:
    assert run("train", "a.csv", "--limit", "0").code == 2
    assert run("train", "a.csv", "--seed", "x").code == 2


def test_the_bare_command_shows_its_help() -> None:
    done = run()
    assert "Usage: " in done.out + done.err
    assert "finetune-classifier" in done.out + done.err
