"""A service under load: many clients at once, every answer compared with the model's own.

    python -m benchmarks.service_load runs/demo

Starts `ulmfit serve` on a free port of this machine, and lets `--clients` clients ask without a
pause for `--seconds`. Each keeps a connection open and sends one to eight questions of TREC-6 at a
time. A busy service (429) is asked again after the time it says. In the end requests beyond the
limits are sent, which must be refused.

Writes benchmarks/results/<date>-service-<cores>cpu.json and prints it; exit code 1 where an answer
was wrong, or a status one that must not be.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.apps.predictor import Predictor
from ulmfit.data.datasets import load_dataset
from ulmfit.runtime import cpu_count

ROOT = Path(__file__).resolve().parent.parent
MOST_TEXTS = 8  # of one request
TOLERANCE = 1e-5  # what the service promises
ATTEMPT_SECONDS = 120.0  # for an answer; later is a failure


@dataclass
class Tally:
    """What the clients have seen.

    Attributes:
        statuses: how often each came; "broken" for a connection that was cut.
        seconds: from asking to the whole answer, of those that came.
        texts: labelled.
        worst: greatest distance of a probability from the model's own.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    texts: int = 0
    worst: float = 0.0


class Connection:
    """HTTP/1.1 over one connection, as little as is needed: the clients share this processor."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a request; status, headers and body of its answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        pairs = (line.partition(": ") for line in lines if line)
        headers = {name.lower(): value for name, _, value in pairs}
        found = await reader.readexactly(int(headers["content-length"]))
        return int(first.split()[1]), headers, found

    async def close(self) -> None:
        """Hang up."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()


async def client(
    port: int,
    texts: Sequence[str],
    expected: NDArray[np.float32],
    end: float,
    seed: int,
    tally: Tally,
) -> None:
    """Ask until the time is over."""
    draw, connection = random.Random(seed), Connection(port)
    while time.monotonic() < end:
        rows = [draw.randrange(len(texts)) for _ in range(draw.randint(1, MOST_TEXTS))]
        body = json.dumps({"texts": [texts[row] for row in rows]}).encode()
        begin = time.perf_counter()
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                status, headers, found = await connection.ask("/predict", body)
        except (OSError, EOFError, TimeoutError):
            tally.statuses["broken"] += 1
            await connection.close()
            continue
        tally.statuses[str(status)] += 1
        tally.seconds.append(time.perf_counter() - begin)
        if status == 200:
            tally.texts += len(rows)
            tally.worst = max(tally.worst, distance(found, expected[rows]))
        elif status == 429:
            await asyncio.sleep(min(float(headers["retry-after"]), max(0, end - time.monotonic())))
    await connection.close()


def distance(answer: bytes, expected: NDArray[np.float32]) -> float:
    """Greatest difference of a probability."""
    predictions = json.loads(answer)["predictions"]
    table = np.array([list(one["probabilities"].values()) for one in predictions])
    return float(np.abs(table - expected).max()) if table.shape == expected.shape else float("inf")


async def load(
    port: int, texts: Sequence[str], expected: NDArray[np.float32], clients: int, seconds: float
) -> Tally:
    """All clients at once."""
    tally, end = Tally(), time.monotonic() + seconds
    tasks = (client(port, texts, expected, end, seed, tally) for seed in range(clients))
    await asyncio.gather(*tasks)
    return tally


async def once(port: int, body: bytes) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own."""
    connection = Connection(port)
    try:
        return await connection.ask("/predict", body)
    finally:
        await connection.close()


async def refusals(port: int) -> dict[str, str]:
    """What is said to requests beyond the limits."""
    said = {}
    for name, body in (
        ("too many texts", json.dumps({"texts": ["a"] * 1_001}).encode()),
        ("too long a text", json.dumps({"text": "a" * 500_001}).encode()),
        ("too many bytes", json.dumps({"text": "a" * (4 << 20)}).encode()),
        ("not JSON", b"{"),
    ):
        status, _, found = await once(port, body)
        said[name] = f"{status}: {json.loads(found)['error']}; {json.loads(found)['expected']}"
    return said


@contextlib.contextmanager
def service(model: Path, options: Sequence[str]) -> Iterator[int]:
    """Run `ulmfit serve`; gives its port."""
    command = [sys.executable, "-m", "ulmfit", "serve", str(model), "--port", "0", *options]
    environment = {name: value for name, value in os.environ.items() if name != "ULMFIT_TOKEN"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"on http://127\.0\.0\.1:(\d+)$", line)
        if found is None:
            raise SystemExit(line + process.stderr.read())
        try:
            yield int(found[1])
        finally:
            process.terminate()


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Load the service and sum up."""
    predictor = Predictor.load(options.model)
    texts = load_dataset("name:trec6", split="test").texts
    expected = predictor.predict_proba(texts)
    more = ["--workers", str(options.workers)]
    if options.max_waiting is not None:
        more += ["--max-waiting", str(options.max_waiting)]
    load_before = os.getloadavg()[0]
    with service(options.model, more) as port:
        asyncio.run(once(port, b'{"text": "wait until it is there"}'))
        tally = asyncio.run(load(port, texts, expected, options.clients, options.seconds))
        said = asyncio.run(refusals(port))
    found = sorted(tally.seconds)
    return {
        "clients": options.clients,
        "seconds": options.seconds,
        "workers": options.workers,
        "max_waiting": options.max_waiting,
        "cores": cpu_count(),
        "load_before": load_before,
        "statuses": dict(sorted(tally.statuses.items())),
        "texts_per_second": tally.texts / options.seconds,
        "p50_ms": 1000 * found[len(found) // 2],
        "p99_ms": 1000 * found[int(0.99 * (len(found) - 1))],
        "worst_difference": tally.worst,
        "refusals": said,
    }


def is_good(results: dict[str, Any]) -> bool:
    """Whether nothing broke, nothing was wrong and what is beyond the limits was refused."""
    refused = [said.split(":")[0] for said in results["refusals"].values()]
    return (
        set(results["statuses"]) <= {"200", "429"}
        and results["statuses"].get("200", 0) > 0
        and results["worst_difference"] <= TOLERANCE
        and refused == ["422", "422", "413", "422"]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--max-waiting", type=int, help="of the service, to see it refuse")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args(arguments)
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    results = {
        "command": f"python -m benchmarks.service_load {options.model} "
        f"--clients {options.clients} --seconds {options.seconds:g} --workers {options.workers}",
        "date": date,
        "commit": commit(),
        **run(options),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{date}-service-{cpu_count()}cpu.json"
    path.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    print(path.read_text("utf-8"))
    print(f"written to {path}")
    return 0 if is_good(results) else 1


def commit() -> str:
    """The commit that was measured; says so when files were changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
