"""Seeds, devices, and stopping at a safe moment."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np
import pytest
import torch

from ulmfit import runtime
from ulmfit.errors import SettingsError
from ulmfit.runtime import (
    cpu_count,
    make_accelerator,
    seed_everything,
    stop_on_signal,
)


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@pytest.mark.parametrize("seed", [0, 7, 2**40])
def test_a_seed_is_for_all_libraries(seed: int) -> None:
    seed_everything(seed)
    first = draws()
    assert draws() != first
    seed_everything(seed)
    assert draws() == first


@pytest.mark.parametrize(
    ("can", "seconds", "chosen"),
    [
        (True, {torch.float32: 2.0, torch.bfloat16: 1.0}, "bf16"),
        (True, {torch.float32: 1.0, torch.bfloat16: 2.0}, "float32"),
        (True, {torch.float32: 1.1, torch.bfloat16: 1.0}, "float32"),
        (False, {torch.float32: 2.0, torch.bfloat16: 1.0}, "float32"),
    ],
    ids=[
        "it has it, faster",
        "it has it, slower",
        "it has it, hardly faster",
        "it does not have it",
    ],
)
def test_bf16_is_for_processors_that_multiply_it_faster(
    can: bool,
    seconds: dict[torch.dtype, float],
    chosen: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    multiply = torch.Tensor.__matmul__

    def take_time(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        nonlocal now
        now += seconds[a.dtype]
        return multiply(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", take_time)
    monkeypatch.setattr("time.perf_counter", lambda: now)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: can)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    runtime._cpu_multiplies_faster_in_bf16.cache_clear()
    assert runtime.fast_precision(cpu=True) == chosen
    runtime._cpu_multiplies_faster_in_bf16.cache_clear()


def test_the_accelerator_can_be_kept_from_the_gpu() -> None:
    accelerator = make_accelerator(cpu=True)
    assert accelerator.device.type == "cpu"
    with accelerator.autocast():
        assert torch.mm(torch.ones(1, 1), torch.ones(1, 1)).dtype == torch.float32


def test_processors() -> None:
    assert 1 <= cpu_count() <= (os.cpu_count() or 1)


@contextmanager
def handler(number: signal.Signals, action: object) -> Iterator[None]:
    """Another handler for a signal, within the block."""
    before = signal.signal(number, action)  # type: ignore[arg-type]
    try:
        yield
    finally:
        signal.signal(number, before)


class Caught(Exception):
    """What the handlers of these tests raise."""


def catch(number: int, frame: FrameType | None) -> None:
    raise Caught(signal.Signals(number).name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request_and_the_second_acts(number: signal.Signals) -> None:
    with handler(number, catch):
        with pytest.raises(Caught, match=number.name), stop_on_signal() as stop:
            assert not stop
            signal.raise_signal(number)
            assert stop
            assert stop.signal == number
            signal.raise_signal(number)
        assert signal.getsignal(number) is catch


def test_handlers_are_put_back() -> None:
    with handler(signal.SIGINT, catch), handler(signal.SIGTERM, catch):
        with stop_on_signal():
            assert signal.getsignal(signal.SIGINT) is not catch
        assert signal.getsignal(signal.SIGINT) is catch
        with pytest.raises(KeyError), stop_on_signal():
            raise KeyError
        assert signal.getsignal(signal.SIGTERM) is catch


def test_a_request_that_nobody_honoured_acts_at_the_end() -> None:
    # Else Ctrl-C in the last moment of a stage would be lost.
    with handler(signal.SIGINT, catch), pytest.raises(Caught), stop_on_signal():
        signal.raise_signal(signal.SIGINT)


def test_a_request_that_was_honoured_does_not_act_again() -> None:
    with handler(signal.SIGINT, catch), pytest.raises(KeyError), stop_on_signal():
        signal.raise_signal(signal.SIGINT)
        raise KeyError


def test_an_ignored_signal_stays_ignored() -> None:
    # So a shell starts jobs in the background: Ctrl-C is meant for another one.
    with handler(signal.SIGINT, signal.SIG_IGN), stop_on_signal() as stop:
        signal.raise_signal(signal.SIGINT)
        assert not stop
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL


def test_outside_the_main_thread_no_request_comes() -> None:
    found = []

    def work() -> None:
        with stop_on_signal() as stop:
            found.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_several_processes_that_have_not_joined_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match="2 processes were started to train together") as caught:
        make_accelerator(cpu=True)
    assert caught.value.expected == "one"
    assert "without torchrun" in str(caught.value.hint)


def test_bf16_is_refused_where_the_processor_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "cpu_runs_bf16", lambda: False)
    with pytest.raises(SettingsError, match="this processor cannot train in bf16"):
        runtime.make_accelerator("bf16", cpu=True)
    monkeypatch.setattr(runtime, "fast_precision", lambda *, cpu: "float32")
    assert runtime.make_accelerator("auto", cpu=True).mixed_precision == "no"


def test_whether_the_processor_has_bf16_is_tried() -> None:
    found = runtime.cpu_runs_bf16()
    layer, x = torch.nn.LSTM(16, 16), torch.zeros(1, 1, 16)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            layer(x)
    except RuntimeError:
        assert not found
    else:
        assert found
