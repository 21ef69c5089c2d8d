"""This package as a worker, through its public functions.

    python -m benchmarks.workers.ours_side FOLDER [DEVICE]

Training is timed by the display that the loop drives, from step to step; prediction from text to
probabilities.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.workers.operators import operator_table
from benchmarks.workers.wire import serve
from ulmfit.apps.export import export_onnx
from ulmfit.apps.onnx_runtime import OnnxClassifier
from ulmfit.apps.predictor import Predictor
from ulmfit.config import LMConfig
from ulmfit.data.corpus import TokenCorpus
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.model.softmax import full_softmax_loss
from ulmfit.runtime import Precision, make_accelerator
from ulmfit.settings import ClassifierSettings, FinetuneLMSettings
from ulmfit.stages.finetune_classifier import finetune_classifier, one_hot
from ulmfit.stages.finetune_lm import finetune_lm
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.stages.lm_training import RunContext
from ulmfit.train.evaluate import predict_logits
from ulmfit.train.tracker import Silent

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
DEVICE = torch.device(sys.argv[2] if len(sys.argv) > 2 else "cpu")
NO_CHECKPOINT = 1e9  # seconds
EXPORTED = "exported"


def material(name: str) -> Any:
    """One of the JSON files that both sides read."""
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def now() -> float:
    """Wall time, the device having finished."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class Watch(Silent):
    """A display that notes when steps end; profiles from the first noted step on, if asked."""

    def __init__(self, profiler: profile | None = None) -> None:
        self.marks: list[tuple[int, float]] = []
        self.profiler = profiler

    def begin(self, title: str, total_steps: int, done_steps: int) -> None:
        """The first batch is about to be fetched."""
        self.marks = [(done_steps, now())]

    def advance(self, step: int, values: dict[str, float]) -> None:
        """A step is done."""
        self.marks.append((step, now()))
        if self.profiler is not None and len(self.marks) == 2:
            self.profiler.start()

    def end(self) -> None:
        """The last step is done; may be said twice."""
        if self.profiler is not None:
            self.profiler.stop()
            self.profiler = None

    def seconds(self, steps: int, skipped: int) -> float:
        """Time of `steps` steps after `skipped` others."""
        times = dict(self.marks)
        assert steps + skipped == self.marks[-1][0], "another number of steps than asked for"
        return times[steps + skipped] - times[skipped]


@cache
def tokenizer() -> Tokenizer:
    """The vocabulary that both sides have."""
    return Tokenizer.from_json((FOLDER / "tokenizer.json").read_text("utf-8"))


@cache
def documents(name: str) -> tuple[list[Any], list[str]]:
    """Ids and class of the documents to train on."""
    with np.load(FOLDER / f"{name}.npz") as file:
        ids, starts, labels = file["ids"], file["starts"], file["labels"]
    return np.split(ids, starts[1:-1]), [str(label) for label in labels]


@cache
def language_model(size: str) -> TrainedLM:
    """The language model that both sides start from."""
    from safetensors.torch import load_file

    config = LMConfig(vocab_size=tokenizer().vocab_size, **material("sizes")[size])
    weights = load_file(FOLDER / f"{size}-lm.safetensors")
    return TrainedLM(config, "forward", tokenizer(), weights)


def context(folder: str, watch: Watch, precision: Precision = "auto") -> RunContext:
    """A run that writes nothing while it is timed."""
    accelerator = make_accelerator(precision, cpu=DEVICE.type == "cpu")
    return RunContext(accelerator, Path(folder), watch, checkpoint_seconds=NO_CHECKPOINT)


def lm_train(
    size: str,
    batch: int,
    steps: int,
    softmax: str = "sampled",
    precision: Precision = "auto",
    watch: Watch | None = None,
) -> dict[str, Any]:
    """`finetune_lm` with its default settings, or with the full softmax."""
    chosen = watch if watch is not None else Watch()
    # Every dropout and whole windows, however short the corpus: what the other side does too.
    settings = FinetuneLMSettings(batch_size=batch, least_steps=1, by_length=False)
    per_step = batch * settings.bptt
    change = {"softmax_samples": None} if softmax == "full" else {}
    settings = settings.model_copy(update={"max_tokens": (steps + 1) * per_step, **change})
    corpus = TokenCorpus.from_ids(documents("lm")[0])
    with tempfile.TemporaryDirectory() as folder:
        run = context(folder, chosen, precision)
        finetune_lm(language_model(size), tokenizer(), corpus, None, settings, run)
    return {"seconds": chosen.seconds(steps, skipped=1), "items": steps * per_step}


def classifier_train(
    data: str,
    size: str,
    batch: int,
    skipped: int,
    precision: Precision = "auto",
    watch: Watch | None = None,
) -> dict[str, Any]:
    """`finetune_classifier`, all layers, over the shared documents once."""
    chosen = watch if watch is not None else Watch()
    texts, labels = documents(data)
    names = sorted(set(labels))
    settings = ClassifierSettings(epochs=1, unfreezing="full", batch_size=batch)
    with tempfile.TemporaryDirectory() as folder:
        finetune_classifier(
            language_model(size),
            (texts, one_hot(labels, names)),
            None,
            names,
            settings,
            context(folder, chosen, precision),
        )
    total = chosen.marks[-1][0]
    items = len(texts) * (total - skipped) / total
    return {"seconds": chosen.seconds(total - skipped, skipped), "items": items}


@cache
def predictor(size: str, mode: str = "float32") -> Predictor:
    """The classifier that both sides have, loaded from its folder; `mode`: its precision."""
    return Predictor.load(FOLDER / f"{size}-2", DEVICE.type, mode)


@cache
def asked(size: str, mode: str) -> Predictor | OnnxClassifier:
    """What answers: for "exported" the folder that `ulmfit export --onnx --int8` makes."""
    if mode != EXPORTED:
        return predictor(size, mode)
    folder = FOLDER / f"{size}-2-exported"
    export_onnx(predictor(size), folder, precision="int8")
    return OnnxClassifier.load(folder, torch.get_num_threads())


def predict_bulk(size: str, mode: str = "float32") -> dict[str, Any]:
    """`predict_proba` over the reviews, from text."""
    model, texts = asked(size, mode), material("texts")["reviews"]
    started = now()
    model.predict_proba(texts)
    return {"seconds": now() - started, "items": len(texts)}


def predict_one(size: str, texts: str, calls: int, mode: str = "float32") -> dict[str, Any]:
    """One `predict_proba` of one text after another."""
    model, chosen = asked(size, mode), material("texts")[texts]
    started = now()
    for call in range(calls):
        answer = model.predict_proba([chosen[call % len(chosen)]])
    return {"seconds": now() - started, "items": calls, "last": answer[0].tolist()}


def logits(size: str, mode: str = "float32") -> dict[str, Any]:
    """Scores of the shared documents."""
    checked = [np.array(ids, dtype=np.int64) for ids in material("checked")]
    return {"logits": predict_logits(predictor(size, mode).models[0], checked).tolist()}


def lm_loss(size: str) -> dict[str, Any]:
    """Mean loss of a window in evaluation, in nats per token."""
    trained = language_model(size)
    model = trained.model(FinetuneLMSettings().dropouts).eval()
    window = torch.tensor(material("window"))
    with torch.no_grad():
        output = model(window[:, :-1], model.encoder.initial_state(len(window)))
        weight, bias = model.encoder.embedding.weight, model.decoder_bias
        hidden, targets = output.raw.flatten(0, 1), window[:, 1:].flatten()
        loss = full_softmax_loss(hidden, targets, weight, bias)
    return {"loss": float(loss)}


def tokenise(texts: int, fresh: bool = True) -> dict[str, Any]:
    """Processor seconds of `encode_batch`; `fresh`: no text was ever seen before."""
    chosen = material("tokenised")[:texts]
    used = Tokenizer.from_json(tokenizer().to_json()) if fresh else tokenizer()
    started = time.process_time()
    used.encode_batch(chosen)
    return {"seconds": time.process_time() - started, "items": len(chosen)}


def tokens(size: str) -> dict[str, Any]:
    """Ids of the first reviews."""
    texts = material("texts")["reviews"][:20]
    return {"ids": [ids.tolist() for ids in tokenizer().encode_batch(texts)]}


def operators(job: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Where the time of another job goes, operator by operator; of training, without step one."""
    with_steps = job in ("lm_train", "classifier_train")
    profiler = profile(activities=[ProfilerActivity.CPU])
    if with_steps:
        items = JOBS[job](**arguments, watch=Watch(profiler))["items"]
    else:
        JOBS[job](**arguments)  # warm
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the profiler sees this thread alone
        with profiler:
            items = JOBS[job](**arguments)["items"]
        torch.set_num_threads(threads)
    return {**operator_table(profiler), "items": items}


def versions() -> dict[str, Any]:
    """What runs here."""
    import tokenizers

    import ulmfit

    return {
        "ulmfit": ulmfit.__version__,
        "torch": torch.__version__,
        "tokenizers": tokenizers.__version__,
        "modes": ["float32", "int8", EXPORTED],
    }


JOBS: dict[str, Any] = {
    "lm_train": lm_train,
    "classifier_train": classifier_train,
    "predict_bulk": predict_bulk,
    "predict_one": predict_one,
    "logits": logits,
    "lm_loss": lm_loss,
    "tokenise": tokenise,
    "tokens": tokens,
    "operators": operators,
    "versions": versions,
}

if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve(JOBS)
