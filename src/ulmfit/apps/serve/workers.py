"""Several processes that accept from one socket: started, replaced when one dies, ended together.

Workers take no signals: a terminal sends Ctrl-C to all processes, and one that still imports would
end with a traceback. Each holds one end of a pipe instead, and ends well when the other end is
closed, which also happens when this process is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING

from ulmfit.apps.serve.watching import log
from ulmfit.errors import SettingsError

if TYPE_CHECKING:
    from uvicorn import Server

# Runs in a worker: makes its server and gives it to the `Hold`, then serves until told to stop.
Work = Callable[["Hold", socket.socket], None]

_LOOK_SECONDS = 0.2  # between looks at signals
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds before one that died again and again is replaced
_END = (signal.SIGINT, signal.SIGTERM)


class Hold:
    """The worker's end of the pipe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._server: Server | None = None
        threading.Thread(target=self._watch, daemon=True, name="hold").start()

    def ready(self, server: Server) -> None:
        """The model is loaded; `server` is told to stop when the time has come."""
        self._server = server
        self._pipe.send(b"ready")

    def _watch(self) -> None:
        with suppress(EOFError, OSError):
            self._pipe.recv()
        if self._server is None:
            os._exit(0)  # it has accepted nothing, and may be in the middle of an import
        self._server.should_exit = True


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    was_ready: bool = False

    @property
    def is_ready(self) -> bool:
        if not self.was_ready and self.pipe.poll():
            try:
                self.was_ready = self.pipe.recv() == b"ready"
            except (EOFError, OSError):
                return False
        return self.was_ready


class Workers:
    """The processes.

    Args:
        work: what each does; goes to it through a pipe.
        found: the socket; it is closed in the end.
        count: of processes.
    """

    def __init__(self, work: Work, found: socket.socket, count: int) -> None:
        self._work, self._found, self._count = work, found, count
        self._workers: list[_Worker] = []
        self._pause, self._signals = _FIRST_PAUSE, 0

    def run(self, announce: Callable[[], None], leave: Callable[[], None], grace: float) -> None:
        """Keep the processes going until SIGINT or SIGTERM; a second one ends them at once.

        Args:
            announce: is called when the first worker is ready.
            leave: is called before the workers are told to stop.
            grace: seconds for them to finish.

        Raises:
            SettingsError: a worker ended before any was ready.
        """
        with _handling(self._count_signal):
            self._workers = [self._started() for _ in range(self._count)]
            try:
                while not self._signals and not any(one.is_ready for one in self._workers):
                    self._require_alive()
                    self._look()
                if not self._signals:
                    announce()
                while not self._signals:
                    self._replace_dead()
                    self._look()
                leave()
            finally:
                self._found.close()
                self._end(grace)

    def _count_signal(self, number: int, frame: object) -> None:
        self._signals += 1

    def _look(self) -> None:
        wait([one.process.sentinel for one in self._workers], _LOOK_SECONDS)

    def _started(self) -> _Worker:
        spawn = multiprocessing.get_context("spawn")
        ours, its = spawn.Pipe()
        process = spawn.Process(target=_run, args=(self._work, its, self._found))
        # it is started with the first process, and would let that one have the signals
        resource_tracker.ensure_running()
        # Blocked signals stay so in the child. Ours are only late.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _END)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        its.close()
        return _Worker(process, ours)

    def _require_alive(self) -> None:
        for one in self._workers:
            if one.process.exitcode is not None:
                raise SettingsError(
                    f"a worker ended before it was ready, with exit code {one.process.exitcode}",
                    hint="Serve with --workers 1 to see why; each worker needs memory of its own.",
                )

    def _replace_dead(self) -> None:
        for place, one in enumerate(self._workers):
            if one.process.exitcode is None:
                continue
            self._pause = _FIRST_PAUSE if one.is_ready else min(2 * self._pause, _LONGEST_PAUSE)
            log.error(
                "a worker ended with exit code %d; another takes its place", one.process.exitcode
            )
            one.pipe.close()
            if not one.was_ready:
                self._sleep(self._pause)
            if self._signals:
                return
            self._workers[place] = self._started()

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._signals and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)

    def _end(self, grace: float) -> None:
        told, end = self._signals, time.monotonic() + grace
        for one in self._workers:
            one.pipe.close()
        for one in self._workers:
            while one.process.exitcode is None:
                if time.monotonic() > end or self._signals > max(told, 1):
                    one.process.kill()
                one.process.join(_LOOK_SECONDS)


def _run(work: Work, pipe: Connection, found: socket.socket) -> None:
    work(Hold(pipe), found)


@contextmanager
def _handling(handler: Callable[[int, object], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _END}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
