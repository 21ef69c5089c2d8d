"""Workers as the driver sees them: processes that stay warm and answer one request at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Launch:
    """How a worker starts.

    Attributes:
        module: below `benchmarks.workers`.
        python: interpreter of its environment.
        threads: of every library in it.
        device: `cpu` or `cuda`.
    """

    module: str
    python: str
    threads: int
    device: str = "cpu"


class Worker:
    """A running worker; started by the first request, ended by leaving the `with` block.

    Args:
        launch: what to start.
        folder: material it reads.
    """

    def __init__(self, launch: Launch, folder: Path) -> None:
        self.launch, self.folder = launch, folder
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait()

    def ask(self, job: str, /, **arguments: Any) -> dict[str, Any]:
        """One request and its answer.

        Raises:
            RuntimeError: the worker failed; its own words stand on standard error.
        """
        if self.process is None:
            self.process = self._start()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"job": job, "arguments": arguments}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.launch.module} ended with {self.process.wait()} in {job}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.launch.module}: {job}: {answer['error']}")
        return answer

    def _start(self) -> subprocess.Popen[str]:
        launch = self.launch
        command = [launch.python, "-m", f"benchmarks.workers.{launch.module}", str(self.folder)]
        command.append(launch.device)
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(launch),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


def environment(launch: Launch) -> dict[str, str]:
    """Of a worker: threads, a GPU only if it is to use one, nothing asked of the network.

    This package is on the path of its own workers alone.
    """
    threads = str(launch.threads)
    found = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "RAYON_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "passive",  # the others do not spin while one works
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
        "PYTHONPATH": str(ROOT / "src") if launch.python == sys.executable else "",
    }
    if launch.device == "cpu":
        found["CUDA_VISIBLE_DEVICES"] = ""
    return found
