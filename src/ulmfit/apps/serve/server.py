"""Run the service: a socket, one worker or several, and an end that loses no request."""

from __future__ import annotations

import errno
import functools
import importlib.util
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ulmfit.apps.serve.app import Service, make_app
from ulmfit.apps.serve.asgi import App
from ulmfit.apps.serve.classifier import Classifier, Explainer
from ulmfit.apps.serve.limits import Limits
from ulmfit.apps.serve.metrics import SHARED
from ulmfit.apps.serve.watching import log
from ulmfit.errors import SettingsError, UlmfitError

if TYPE_CHECKING:
    from uvicorn import Config, Server

    from ulmfit.apps.predictor import Precision
    from ulmfit.apps.serve.workers import Hold

_BACKLOG = 2048  # connections that wait to be accepted; uvicorn's default
_END_SECONDS = 10  # for a worker to end, beyond the time for requests
# For a port in use: a service leaves it within a third of a second of being told to stop, later
# where the machine is busy. Whoever took a port by mistake waits as long for the error.
_HANDOVER_SECONDS = 3.0
_LOOK_SECONDS = 0.05
# Batches have ever new shapes, and oneDNN keeps compiled code for 1,024 of them, which with TREC-6
# took 150 MB in ten minutes. Compiling again takes no time that could be measured: docs/log.md,
# "why does the service's memory grow, and does it stop?".
_KERNELS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}
_KEEP_ALIVE = 30  # seconds; load balancers keep connections for longer than uvicorn's 5


@dataclass(frozen=True)
class ServeSettings:
    """All that a worker needs to know; goes to it through a pipe, never by its arguments.

    Attributes:
        model: model folder.
        host: address to listen on.
        port: 0 for any free one.
        workers: processes, each with a model of its own.
        threads: of each worker.
        device: where to compute.
        int8: answer in 8-bit integers.
        token: that clients must show.
        min_confidence: abstain below it.
        limits: of requests.
        access_log: log a line for each request.
    """

    model: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    threads: int = 1
    device: str = "auto"
    int8: bool = False
    token: str | None = None
    min_confidence: float | None = None
    limits: Limits = field(default_factory=Limits)
    access_log: bool = False


def load_app(settings: ServeSettings) -> App:
    """Load the model and make the application of one worker.

    An exported model needs no torch, and is not explained: there are no gradients to go by.

    Raises:
        ModelFolderError: a file of the model is missing, cut or altered.
        SettingsError: there is no such device.
    """
    os.environ["RAYON_NUM_THREADS"] = str(settings.threads)
    for name, value in _KERNELS.items():
        os.environ.setdefault(name, value)  # read by oneDNN when it is first used
    _log_to_stderr(access_log=settings.access_log)
    from ulmfit.apps.onnx_folder import is_exported
    from ulmfit.artifacts import read_config

    load = _load_exported if is_exported(read_config(settings.model)) else _load_model
    classifier, explainer, metrics = load(settings)
    return make_app(
        Service(
            classifier,
            explainer,
            settings.model.resolve().name,
            metrics,
            settings.min_confidence,
            settings.token,
            settings.limits,
            settings.access_log,
        )
    )


Loaded = tuple[Classifier, Explainer | None, Mapping[str, Any]]


def _load_model(settings: ServeSettings) -> Loaded:
    import torch

    from ulmfit.apps.explain import explain
    from ulmfit.apps.predictor import Predictor

    torch.set_num_threads(settings.threads)
    precision: Precision = "int8" if settings.int8 else "float32"
    predictor = Predictor.load(settings.model, settings.device, precision)
    explainer = functools.partial(explain, predictor, seconds=settings.limits.explain_seconds)
    return predictor, explainer, predictor.metrics


def _load_exported(settings: ServeSettings) -> Loaded:
    from ulmfit.apps.classifiers import load_classifier

    found = load_classifier(settings.model, settings.device, settings.threads, int8=settings.int8)
    return found, None, {}


def _log_to_stderr(*, access_log: bool) -> None:
    log.setLevel(logging.INFO if access_log else logging.WARNING)
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.propagate = False


def run_service(settings: ServeSettings, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, then answer what was accepted and return.

    Args:
        settings: of the service.
        announce: is told the address as soon as requests are accepted.

    Raises:
        SettingsError: the address cannot be used, or the extra is not installed.
        ModelFolderError: the model cannot be used.
    """
    require_extra()
    from ulmfit.apps.serve.leaving import raise_file_limit, refuse_new
    from ulmfit.apps.serve.workers import Workers

    raise_file_limit()
    with _listening(settings) as found, _metrics_folder(settings.workers):
        if settings.workers == 1:
            server = _server(settings)
            announce(_address(found))
            _run_one(server, found)
            return
        _check_model(settings)
        _log_to_stderr(access_log=settings.access_log)
        workers = Workers(functools.partial(_work, settings), found, settings.workers)
        grace = settings.limits.grace_seconds + _END_SECONDS
        address = _address(found)
        workers.run(lambda: announce(address), lambda: refuse_new(found), grace)


def _server(settings: ServeSettings) -> Server:
    """The server of one process, its model loaded."""
    from ulmfit.apps.serve.leaving import Leaving, leaving_server

    leaving = Leaving(load_app(settings))
    return leaving_server(_config(leaving, settings), leaving)


def _work(settings: ServeSettings, hold: Hold, found: socket.socket) -> None:
    """One of several workers."""
    from ulmfit.apps.serve.leaving import raise_file_limit

    raise_file_limit()
    try:
        server = _server(settings)
    except UlmfitError as error:
        log.error("a worker could not start: %s", error)
        raise SystemExit(1) from None
    hold.ready(server)
    server.run(sockets=[found])


def require_extra() -> None:
    """Check that the service's own dependencies are installed.

    Raises:
        SettingsError: says how to install them.
    """
    for name in ("fastapi", "prometheus_client", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise SettingsError(
                f"the service needs the package {name!r}, which is not installed",
                hint="Install it with `pip install 'ulmfit[serve]'`.",
            )


def _check_model(settings: ServeSettings) -> None:
    """Say what is wrong with the model once, and not from each worker."""
    from ulmfit.artifacts import read_folder

    read_folder(settings.model)


def _run_one(server: Server, found: socket.socket) -> None:
    # uvicorn raises the signal again when it has ended well: then there is nothing more to do
    before = {number: signal.signal(number, _nothing) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[found])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nothing(number: int, frame: object) -> None:
    return None


def _config(app: App, settings: ServeSettings) -> Config:
    from uvicorn import Config

    return Config(
        app,
        lifespan="on",
        backlog=_BACKLOG,
        log_level="warning",
        access_log=False,  # it would log query strings; see `watching`
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=settings.limits.grace_seconds,
        ws="none",
    )


@contextmanager
def _listening(settings: ServeSettings) -> Iterator[socket.socket]:
    try:
        found = _bound(settings)
    except OSError as error:
        why = str(error.strerror or error).partition(" (while")[0]  # more is in it than the reason
        raise SettingsError(
            f"cannot listen on {settings.host} port {settings.port}: {why}",
            hint="Choose another one with --host and --port; --port 0 takes any free port.",
        ) from error
    with found:
        yield found


def _bound(settings: ServeSettings) -> socket.socket:
    """Waits for a service that was told to stop at the same moment: it leaves the port at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    address, end = (settings.host, settings.port), time.monotonic() + _HANDOVER_SECONDS
    while True:
        try:
            return socket.create_server(address, family=family, backlog=_BACKLOG)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                raise
        time.sleep(_LOOK_SECONDS)


def _address(found: socket.socket) -> str:
    host, port = found.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _metrics_folder(workers: int) -> Iterator[None]:
    """Where several workers add up what they count."""
    if workers == 1:
        os.environ.pop(SHARED, None)  # one worker needs none, and an old one has old numbers
        yield
        return
    with tempfile.TemporaryDirectory(prefix="ulmfit-metrics-") as folder:
        os.environ[SHARED] = folder
        try:
            yield
        finally:
            del os.environ[SHARED]
