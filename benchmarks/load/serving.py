"""`ulmfit serve` as a process."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

END_SECONDS = 60.0  # to answer what was accepted; the service takes 40 at most


class NotServedError(Exception):
    """The service did not start."""


@dataclass
class Served:
    """A running service.

    Attributes:
        process: its first process.
        port: that it listens on.
        said: what it wrote, without the line with the address.
    """

    process: subprocess.Popen[str]
    port: int
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.said += self.process.stderr  # so that it never waits for us

    def stop(self) -> None:
        """Tell it to end; see `ended`. Nothing, where it has."""
        self.process.terminate()

    def ended(self) -> int:
        """Its exit code, when it has ended; -9 where it had to be killed."""
        try:
            code = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._reader.join(END_SECONDS)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@dataclass
class Service:
    """What to serve, and how.

    Attributes:
        model: model folder.
        options: of the command.
        started: the processes, the newest last.
    """

    model: Path
    options: Sequence[str]
    started: list[Served] = field(default_factory=list)

    def current(self) -> Served:
        """The process that was started last."""
        return self.started[-1]

    def start(self, port: int = 0) -> Served:
        """Start it; returns when it listens.

        Raises:
            NotServedError: it does not; says what it said.
        """
        command = [sys.executable, "-m", "ulmfit", "serve", str(self.model), "--port", str(port)]
        environment = {name: value for name, value in os.environ.items() if name != "ULMFIT_TOKEN"}
        process = subprocess.Popen(
            [*command, *self.options], stderr=subprocess.PIPE, text=True, env=environment
        )
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"on http://127\.0\.0\.1:(\d+)$", line)
        if found is None:
            said = line + process.stderr.read()
            process.stderr.close()
            process.wait()
            raise NotServedError(said.strip())
        self.started.append(Served(process, int(found[1])))
        return self.current()

    @contextlib.contextmanager
    def running(self) -> Iterator[Served]:
        """Serve during the block, in the end by whichever process was started last."""
        try:
            yield self.start()
        finally:
            for served in self.started:
                served.stop()
                served.ended()
