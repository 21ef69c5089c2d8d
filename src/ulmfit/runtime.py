"""The process: random seeds, threads, devices, and stopping at a safe moment."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import TYPE_CHECKING, Literal

from ulmfit import ranks
from ulmfit.errors import SettingsError

if TYPE_CHECKING:
    from accelerate import Accelerator

# No fp16: its gradients would need scaling, which bf16 does without on the same machines.
Precision = Literal["auto", "float32", "bf16"]


# Where bf16 pays it is twice as fast, and on a busy machine the slower one may win by a little
# (docs/log.md, "does `--precision auto` always choose the same?"). Ours.
CLEARLY_FASTER = 1.25


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (all devices)."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def fast_precision(*, cpu: bool) -> Literal["float32", "bf16"]:
    """bf16 where the device multiplies it faster than float32: with AMX, on a GPU of today.

    A CPU's instructions for it do not tell: some do half of what they do in float32, others twice
    (docs/log.md, "do instructions for bfloat16 make it the faster precision?"). So products are
    timed, once in a process.
    """
    import torch

    if not cpu and torch.cuda.is_available():
        faster = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        there = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        faster = there and _cpu_multiplies_faster_in_bf16()
    return "bf16" if faster else "float32"


@cache
def _cpu_multiplies_faster_in_bf16() -> bool:
    import torch

    # Of the size of an LSTM's products. The best of several, taken in turn, is that of a core
    # which hardly anybody else used: rates differ by a factor of two, a small gain is chance.
    a, b = torch.ones(256, 512), torch.ones(512, 2048)
    operands = {"float32": (a, b), "bf16": (a.bfloat16(), b.bfloat16())}
    best = dict.fromkeys(operands, float("inf"))
    for _ in range(8):
        for name, (left, right) in operands.items():
            start = time.perf_counter()
            left @ right
            best[name] = min(best[name], time.perf_counter() - start)
    return best["bf16"] * CLEARLY_FASTER < best["float32"]


@cache
def cpu_runs_bf16() -> bool:
    """Whether the LSTM of this processor and this torch takes bf16: not without AVX-512 on x86."""
    import torch

    x, state = torch.zeros(1, 1, 16), torch.zeros(1, 1, 16)
    weights = [torch.zeros(64, 16)] * 2 + [torch.zeros(64)] * 2
    try:
        with torch.autocast("cpu", torch.bfloat16):
            torch.lstm(x, (state, state), weights, True, 1, 0.0, True, False, True)
    except RuntimeError:
        return False
    return True


def make_accelerator(precision: Precision = "float32", *, cpu: bool = False) -> Accelerator:
    """Device placement and mixed precision of this process.

    Args:
        precision: of the products in forward and backward passes; weights stay float32. `auto`
            takes the faster one.
        cpu: do not use a GPU even if there is one.

    Of several processes that train together (`ranks.join`), each gets the GPU of its number.

    Raises:
        SettingsError: the process is one of several that `torchrun` started, and they have not
            joined; or there are more of them on this host than GPUs; or this processor does not
            compute in bf16.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    if ranks.size() != ranks.started():
        # Each of them would train on everything and write into the same folder.
        raise SettingsError(
            f"{ranks.started()} processes were started to train together",
            expected="one",
            hint="Start this without torchrun or `accelerate launch`; only the commands that train "
            "can work together.",
        )
    if torch.cuda.is_available() and not cpu:
        ranks.require_room(torch.cuda.device_count())
    chosen = fast_precision(cpu=cpu) if precision == "auto" else precision
    if chosen == "bf16" and (cpu or not torch.cuda.is_available()) and not cpu_runs_bf16():
        raise SettingsError(
            "this processor cannot train in bf16",
            expected="--precision float32 or auto",
            hint="A run that was started in bf16 can only be resumed where there is bf16.",
        )
    # accelerate keeps the first request for the life of the process: another one would be refused,
    # or, from a CPU to a GPU, ignored.
    AcceleratorState._reset_state(reset_partial_state=True)
    # TF32 has 10 bits: the same text would get another answer in another batch.
    torch.backends.cudnn.allow_tf32 = False
    return Accelerator(mixed_precision="bf16" if chosen == "bf16" else "no", cpu=cpu)


def cpu_count() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class StopRequest:
    """Whether the user has asked to stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request, to be honoured between two steps.

    A second signal acts at once, as without this block; so does, at its end, one that came too late
    to be honoured. A signal that the process ignores (a background job, `nohup`) stays ignored.
    Outside the main thread, where Python takes no signals, the request never comes.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # None: the handler of a program that Python is embedded in, which could not be put back.
    ours = {n: handler for n, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, handler in ours.items():
            signal.signal(number, handler)

    def on_signal(number: int, frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        restore()

    for number in ours:
        signal.signal(number, on_signal)
    try:
        yield request
    finally:
        restore()
    if request.signal is not None:
        signal.raise_signal(request.signal)
