from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from ulmfit.apps.display import BarDisplay, LineDisplay, Pace, make_display, perplexity
from ulmfit.train.tracker import Silent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_stream_decides_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert isinstance(make_display(stream=io.StringIO()), LineDisplay)
    assert isinstance(make_display(stream=Terminal()), BarDisplay)
    assert isinstance(make_display(quiet=True, stream=Terminal()), Silent)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_display(stream=Terminal()), LineDisplay)


def test_lines_come_only_now_and_then() -> None:
    out = io.StringIO()
    display = LineDisplay(out, seconds=60)
    display.begin("tokens", 10, 0)
    for step in range(1, 11):
        display.advance(step, {"loss": 4.0})
    display.note("epoch 1/1")
    display.end()
    assert out.getvalue() == "epoch 1/1\n"


def test_a_line_holds_speed_loss_perplexity_rate_and_time_left() -> None:
    out = io.StringIO()
    display = LineDisplay(out, seconds=0)
    display.begin("tokens", 8, 2)
    display.advance(4, {"loss": 4.0, "lr": 0.004, "tokens/s": 1234.4})
    assert out.getvalue().startswith(
        "  step 4/8 (50%), 1,234 tokens/s, loss 4.000, ppl 54.6, lr 4.0e-03, 0:0"
    )
    assert out.getvalue().endswith(" left\n")


def test_documents_have_no_perplexity() -> None:
    pace = Pace("documents", 8, 0)
    pace.advance(1, {"loss": 0.5, "lr": 0.01, "documents/s": 3.14159})
    assert pace.facts() == ["3.1 docs/s", "loss 0.500", "lr 1.0e-02"]


def test_texts_are_counted_up_to_an_end_or_without_one() -> None:
    out = io.StringIO()
    display = LineDisplay(out, seconds=0)
    display.begin("texts", 0, 0)
    display.advance(1024, {"texts/s": 33.3})
    assert out.getvalue() == "  1,024 texts, 33 texts/s\n"
    display.begin("texts", 2000, 0)
    display.advance(1024, {"texts/s": 33.3})
    last = out.getvalue().splitlines()[-1]
    assert last.startswith("  1,024 of 2,000 texts (51%), 33 texts/s, 0:")


def test_nothing_is_shown_after_the_end() -> None:
    out = io.StringIO()
    display = LineDisplay(out, seconds=0)
    display.begin("tokens", 8, 0)
    display.end()
    display.advance(1, {})
    assert out.getvalue() == ""


def test_time_left_goes_by_the_recent_steps() -> None:
    assert Pace("tokens", 100, 90).seconds_left is None
    pace = Pace("tokens", 100, 90)
    time.sleep(0.02)
    pace.advance(91, {})
    assert pace.seconds_left is not None
    assert 9 * 0.02 <= pace.seconds_left < 9 * 2.0


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_bar_keeps_to_the_terminal(width: int) -> None:
    out = Terminal()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    display = BarDisplay(console)
    display.begin("tokens", 1000, 0)
    display.advance(500, {"loss": 4.0, "lr": 0.004, "tokens/s": 123_456.0})
    console.print(display._render())
    display.note("epoch 1/2 [with brackets]")
    display.end()
    shown = out.getvalue()
    assert "50%" in shown
    assert "epoch 1/2 [with brackets]" in shown
    lines = [line for line in shown.replace("\r", "\n").split("\n") if "tokens/s" in line]
    assert all(len(line.split("\x1b")[0]) <= min(width, 100) for line in lines)


def test_a_bar_counts_up_where_the_end_is_unknown() -> None:
    out = Terminal()
    display = BarDisplay(Console(file=out, width=80, force_terminal=True, color_system=None))
    display.begin("texts", 0, 0)
    display.advance(7, {"texts/s": 2.0})
    assert display._render() == "7 texts  2.0 texts/s"
    display.end()
    display.end()  # a second time does no harm
    assert display._render() == ""


def test_numbers_are_short() -> None:

    assert [perplexity(x) for x in (4.0, 6.0, 20.0, 1e9)] == ["54.6", "403", "4.9e+08", "9.9e+42"]
