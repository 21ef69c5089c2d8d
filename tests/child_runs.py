"""Training runs in processes of their own, which can be killed at a step and resumed.

`python -m tests.child_runs` imports torch once, then forks a child for every request it reads: one
JSON object per line, answered by the child's process id and, when it has ended, by its exit code
(minus the signal's number if it was killed). What happens in the children is the real thing: real
stages, real signals, real files.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from tests import tiny
from ulmfit.apps.language_models import finetune_lms, save_lms
from ulmfit.apps.run import TrainingRun
from ulmfit.apps.training import train_classifier
from ulmfit.artifacts import write_folder
from ulmfit.data.datasets import Dataset
from ulmfit.errors import UlmfitError
from ulmfit.runtime import Precision, make_accelerator
from ulmfit.settings import (
    ClassifierSettings,
    FinetuneLMSettings,
    OptimizerSettings,
    PretrainSettings,
    SelfTrainingSettings,
    Settings,
)
from ulmfit.stages.finetune_classifier import finetune_classifier, one_hot
from ulmfit.stages.lm_training import RunContext
from ulmfit.stages.pretrain import pretrain
from ulmfit.storage import atomic_write
from ulmfit.train.loop import make_optimizer
from ulmfit.train.tracker import Silent

ROOT = Path(__file__).resolve().parent.parent

DISK_FULL = "no file may be longer than 2,000 bytes"


# No run of the tests has so many steps.
MOST_KILLS = 200


@dataclass(frozen=True)
class Blow:
    """A signal that a run sends to itself, or a disk that is full from then on.

    Attributes:
        count: at which occurrence of `event` in this process.
        event: "step": a step is done, its checkpoint not yet written; "note": among others, an
            epoch's record is in the log, its checkpoint not yet written.
        signal: name of the signal, or `DISK_FULL`.
    """

    count: int
    event: str = "step"
    signal: str = "SIGKILL"


@dataclass(frozen=True)
class Request:
    """A run.

    Attributes:
        run: which, a key of `RUNS`.
        folder: where; the result is in `model` and `log.jsonl`.
        settings: changes of the run's settings.
        resume: go on with what is there.
        blow: what befalls it.
        seed: of the run.
        checkpoint_seconds: least time between checkpoints.
        validate_every: of the language model, in steps.
        precision: of forward passes.
    """

    run: str
    folder: str
    settings: dict[str, Any] = field(default_factory=dict)
    resume: bool = False
    blow: Blow | None = None
    seed: int = 0
    checkpoint_seconds: float = 0.0
    validate_every: int = 3
    precision: Precision = "float32"


class Striking(Silent):
    """A display that sends its own process a signal."""

    def __init__(self, blow: Blow | None) -> None:
        self.blow, self.seen = blow, {"step": 0, "note": 0}

    def advance(self, step: int, values: dict[str, float]) -> None:
        """A step is done."""
        self._count("step")

    def note(self, text: str) -> None:
        """Something is worth a line."""
        # These two come again in every process, so that a run killed at them would never get on.
        if "resumed" not in text and "sample:" not in text:
            self._count("note")

    def _count(self, event: str) -> None:
        self.seen[event] += 1
        if self.blow is None or self.blow.event != event or self.blow.count != self.seen[event]:
            return
        if self.blow.signal == DISK_FULL:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
        else:
            os.kill(os.getpid(), getattr(signal, self.blow.signal))


def language_model(request: Request, context: RunContext) -> None:
    """Pretraining: carried state, varying windows, sampled softmax, validation within epochs."""
    settings = PretrainSettings(
        **{
            "epochs": 2,
            "batch_size": 4,
            "bptt": 7,
            "vary_bptt": True,
            "softmax_samples": 8,
            "emb_size": 6,
            "hidden_size": 8,
            "n_layers": 2,
            "optimizer": {"clip": 0.5},
            "rates": {"lr": 0.02},
            "validate_every": request.validate_every,
            **request.settings,
        }
    )
    words = tiny.tokenizer()
    train, valid = tiny.corpus(words, 15), tiny.corpus(words, 8, seed=9)
    lm = pretrain(
        words,
        train,
        valid,
        settings,
        context,
        direction="forward",
        info={},
    )
    lm.save(context.folder / "model")


def fine_tuned(request: Request, context: RunContext) -> None:
    """Fine-tuning of a pretrained language model, from text on."""
    lm = {"epochs": 2, "batch_size": 8, "least_steps": 1, "bptt": 6, "min_freq": 1}
    words = tiny.tokenizer()
    run = TrainingRun.within(context, "work")
    settings = FinetuneLMSettings(**{**lm, **request.settings})
    run.claim({"settings": settings.model_dump()})
    base = {"forward": tiny.trained_lm(words)}
    texts = tiny.labelled_texts(60, seed=5)[0]
    found = finetune_lms(base, lambda: texts, settings, run)  # type: ignore[arg-type]
    save_lms(found, context.folder / "model")
    log = context.folder / "work" / "forward" / "lm" / "log.jsonl"
    atomic_write(context.folder / "log.jsonl", log.read_bytes())


def classifier(request: Request, context: RunContext) -> None:
    """Classifier fine-tuning with gradual unfreezing."""
    settings = ClassifierSettings(**CLASSIFIER | request.settings)
    words = tiny.tokenizer()
    parts = []
    for n, seed in ((24, 3), (12, 4)):
        texts, labels = tiny.labelled_texts(n, seed)
        parts.append((words.encode_batch(texts), one_hot(labels, ["glad", "sad"])))
    trained = finetune_classifier(
        tiny.trained_lm(words), parts[0], parts[1], ["glad", "sad"], settings, context
    )
    write_folder(context.folder / "model", trained.files())


CLASSIFIER: dict[str, Any] = {
    "epochs": 5,
    "batch_size": 10,
    "chunk": 4,
    "grad_tokens": 8,
    "head_size": 5,
    "rates": {"lr": 0.02},
}


def pipeline(request: Request, context: RunContext) -> None:
    """`train`: both directions, language models and classifiers; with settings a second round."""
    words = tiny.tokenizer()
    texts, labels = tiny.labelled_texts(60, seed=5)
    lm = {"epochs": 1, "batch_size": 20, "least_steps": 1, "bptt": 6, "min_freq": 1}
    again = SelfTrainingSettings(**request.settings) if request.settings else None
    settings = Settings(
        self_training=again,
        finetune_lm=FinetuneLMSettings(**lm),
        classifier=ClassifierSettings(
            **CLASSIFIER | {"epochs": 2, "batch_size": 30, "valid_fraction": 0.4}
        ),
    )
    run = TrainingRun.within(context, "work")
    lms = {
        "forward": tiny.trained_lm(words, "forward"),
        "backward": tiny.trained_lm(words, "backward", seed=1),
    }
    valid_texts, valid_labels = tiny.labelled_texts(10, seed=6)
    predictor = train_classifier(
        Dataset(texts, labels),
        lms,  # type: ignore[arg-type]
        settings,
        run,
        unlabeled=lambda: tiny.labelled_texts(8, seed=7)[0],
        valid=Dataset(valid_texts, valid_labels),
    )
    predictor.save(context.folder / "model")
    logs = sorted((context.folder / "work").rglob("log.jsonl"))
    atomic_write(context.folder / "log.jsonl", b"".join(path.read_bytes() for path in logs))


RUNS: dict[str, Callable[[Request, RunContext], None]] = {
    "language_model": language_model,
    "finetune_lm": fine_tuned,
    "classifier": classifier,
    "pipeline": pipeline,
}


def carry_out(request: Request) -> int:
    """Run a request in this process; the exit code."""
    # A job in the background ignores SIGINT, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(request.folder)
    folder.mkdir(exist_ok=True)
    context = RunContext(
        make_accelerator(request.precision, cpu=True),
        folder,
        Striking(request.blow),
        request.seed,
        request.resume,
        request.checkpoint_seconds,
    )
    try:
        RUNS[request.run](request, context)
    except UlmfitError as error:
        (folder / "error.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        return error.exit_code
    return 0


def parsed(line: str) -> Request:
    values = json.loads(line)
    blow = values.pop("blow")
    return Request(**values, blow=Blow(**blow) if blow else None)


def serve() -> None:
    # Imports what each child would import again: accelerate, and torch's compiler for an optimiser.
    make_accelerator(cpu=True)
    make_optimizer([list(tiny.lm_model().parameters())], OptimizerSettings())
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = carry_out(parsed(line))
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


COMMAND = [sys.executable, "-m", "tests.child_runs"]


def environment(*, hash_seed: int) -> dict[str, str]:
    """One thread, as more of them would add up in another order; the hash seed must not matter."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": str(hash_seed)}


@cache
def _server() -> subprocess.Popen[str]:
    found = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(hash_seed=1),
    )
    atexit.register(_stop, found)
    return found


def _stop(server: subprocess.Popen[str]) -> None:
    server.communicate()


def start_child(request: Request) -> int:
    """Run a request in a new process; its id. `end_of_child` has to follow."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    print(json.dumps(asdict(request)), file=server.stdin, flush=True)
    return int(server.stdout.readline())


def ended_within(seconds: float) -> bool:
    """Whether the started child ends in so many seconds; returns as soon as it has."""
    answers = _server().stdout
    assert answers is not None
    return bool(select.select([answers], [], [], seconds)[0])


def end_of_child() -> int:
    """Wait for the started child; its exit code, minus the signal's number if it was killed."""
    server = _server()
    assert server.stdout is not None
    return int(server.stdout.readline())


def in_child(request: Request) -> int:
    """Run a request in a new process; its exit code, minus the signal's number if killed."""
    start_child(request)
    return end_of_child()


def in_fresh_interpreter(request: Request) -> int:
    """Like `in_child`, in an interpreter of its own with another hash seed."""
    done = subprocess.run(
        [*COMMAND, json.dumps(asdict(request))],
        cwd=ROOT,
        env=environment(hash_seed=2),
        check=False,
        timeout=120,
    )
    return done.returncode


def killed_again_and_again(request: Request, blow: Blow) -> int:
    """Start a run, kill it in every child at the same place and resume it until it ends.

    Returns:
        How many times it was killed.
    """
    kills = 0
    while code := in_child(replace(request, blow=blow, resume=kills > 0)):
        assert code == -signal.SIGKILL
        kills += 1
        assert kills < MOST_KILLS, "the run does not get on"
    return kills


def result(folder: Path) -> dict[str, object]:
    """What has to be the same in two runs: weights, log, metrics (but for the time it took)."""
    model = folder / "model"
    weights = [path.read_bytes() for path in sorted(model.rglob("model.safetensors"))]
    metrics = json.loads((model / "metrics.json").read_text(encoding="utf-8"))
    metrics.pop("seconds")
    return {"weights": weights, "log": (folder / "log.jsonl").read_text(), "metrics": metrics}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(carry_out(parsed(sys.argv[1])))
    serve()
