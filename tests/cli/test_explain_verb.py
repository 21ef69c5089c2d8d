from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import run
from ulmfit.apps.line_integrals import LEAST_PIECES, PIECES, LineIntegral, integrate

GOOD = "film lovely actor story great wonderful scene"


def test_in_words(model: Path) -> None:
    done = run("explain", model, "--text", GOOD)
    assert done.code == 0, done
    assert done.out.startswith("pos  ")
    assert "strongest words" in done.out
    assert "\x1b" not in done.out


def test_as_data_from_standard_input(model: Path) -> None:
    done = run("explain", model, "--text", "-", "--label", "neg", "--json", stdin=f"{GOOD}\n")
    found = json.loads(done.out)
    assert (found["text"], found["label"]) == (GOOD, "neg")
    total = sum(span["attribution"] for span in found["spans"])
    unexplained = found["score"] - found["baseline_score"] - total
    assert found["unexplained"] == pytest.approx(unexplained, abs=1e-9)
    sizes = sum(abs(span["attribution"]) for span in found["spans"])
    assert abs(unexplained) <= max(0.01, 0.02 * sizes)


def test_as_a_page(model: Path, tmp_path: Path) -> None:
    page = tmp_path / "why.html"
    done = run("explain", model, "--text", GOOD, "--method", "occlusion", "--html", page)
    assert done.code == 0, done
    assert done.err == f"wrote {page}\n"
    assert "<mark" in page.read_text("utf-8")


def test_a_rough_page_says_so(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("TOLERANCE", "SHARE"):  # no number of points is enough then
        monkeypatch.setattr(f"ulmfit.apps.explain.{bound}", 0.0)
    page = tmp_path / "why.html"
    given = ["explain", model, "--text", GOOD, "--seconds", "0.001"]
    done = run(*given, "--html", page)
    assert done.err.startswith(f"wrote {page}\nrough: ")
    assert "(integrated gradients) are rough: they leave " in page.read_text("utf-8")
    assert json.loads(run(*given, "--json").out)["coarse"]


def test_a_label_that_is_none(model: Path) -> None:
    done = run("explain", model, "--text", GOOD, "--label", "good")
    assert done.code == 2
    assert "label 'good' is unknown to the model\n  Expected: one of 'neg', 'pos'" in done.err


def test_a_limit_of_time_takes_fewer_points(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = []

    def counted(*given: Any, **named: Any) -> LineIntegral:
        found = integrate(*given, **named)
        points.append(found.points)
        return found

    monkeypatch.setattr("ulmfit.apps.explain.integrate", counted)
    for limit in (["--seconds", "0.001"], []):
        assert run("explain", model, "--text", GOOD, *limit).code == 0
    assert points[0] == LEAST_PIECES + 1 < PIECES < points[1]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--seconds", "0"], "--seconds 0\n  Expected: a number above 0"),
        (["--seconds", "5", "--method", "occlusion"], "has no effect with --method occlusion"),
    ],
)
def test_a_limit_that_cannot_be_kept(model: Path, given: list[str], told: str) -> None:
    done = run("explain", model, "--text", GOOD, *given)
    assert done.code == 2
    assert told in done.err


def test_standard_input_that_is_no_text(model: Path) -> None:
    command = [sys.executable, "-m", "ulmfit", "explain", str(model), "--text", "-"]
    done = subprocess.run(command, input=b"caf\xe9", capture_output=True, check=False)
    assert done.returncode == 2
    assert b"standard input is not UTF-8 (byte 3)\n  Expected: text in UTF-8" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours_on_a_terminal_unless_told_otherwise(model: Path, no_color: str) -> None:
    command = [sys.executable, "-m", "ulmfit", "explain", str(model), "--text", GOOD]
    outer, inner = pty.openpty()
    env = {**os.environ, "NO_COLOR": no_color}
    with subprocess.Popen(command, stdout=inner, env=env) as process:
        os.close(inner)
        shown = b""
        try:
            while part := os.read(outer, 4096):
                shown += part
        except OSError:  # Linux: the other end is closed
            pass
    os.close(outer)
    assert process.returncode == 0
    assert (b"\x1b[" in shown) is not bool(no_color)
