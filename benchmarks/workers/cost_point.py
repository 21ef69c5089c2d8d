"""One point of a cost curve, in a process of its own: seconds and peak memory.

    python -m benchmarks.workers.cost_point CURVE VALUE     prints {"seconds": ..., "bytes": ...}

A fresh process for every point, because the peak of a process never comes down again.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ulmfit.apps.predictor import Predictor
from ulmfit.config import ClassifierConfig, Dropouts, LMConfig
from ulmfit.data.corpus import TokenCorpus, build_corpus
from ulmfit.data.tokenizer import SPECIALS, Tokenizer
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel
from ulmfit.model.language_model import LanguageModel
from ulmfit.runtime import cpu_count, make_accelerator, seed_everything
from ulmfit.settings import ClassifierSettings, FinetuneLMSettings
from ulmfit.stages.classifier_folder import TrainedClassifier
from ulmfit.stages.finetune_classifier import finetune_classifier, one_hot
from ulmfit.stages.finetune_lm import finetune_lm
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.stages.lm_training import RunContext
from ulmfit.train.tracker import Silent

Ids = NDArray[np.int32]
Work = Callable[[], object]

WORDS = 5_000  # where the vocabulary is not what varies
SIZE = {"emb_size": 64, "hidden_size": 128, "n_layers": 2}  # small: the shape of a curve is asked
STEPS = 4  # of training, after a first one


def words(n: int) -> Tokenizer:
    """A vocabulary of n made-up words."""
    made = (f"w{i}" for i in range(n - len(SPECIALS)))
    return Tokenizer.from_words([*SPECIALS, *made])


def random_ids(n_documents: int, length: int, vocab_size: int = WORDS) -> list[Ids]:
    """Documents whose words are as frequent as in a language (Zipf)."""
    rng = np.random.default_rng(0)
    rank = 1.0 / np.arange(1, vocab_size - len(SPECIALS) + 1)
    drawn = rng.choice(len(rank), size=(n_documents, length), p=rank / rank.sum())
    return list((drawn + len(SPECIALS)).astype(np.int32))


def language_model(vocab_size: int) -> TrainedLM:
    """One that has learnt nothing."""
    config = LMConfig(vocab_size=vocab_size, **SIZE)
    model = LanguageModel(config, Dropouts())
    return TrainedLM(config, "forward", words(vocab_size), dict(model.state_dict()))


def context(folder: str, watch: Silent) -> RunContext:
    """A run that writes no checkpoint."""
    return RunContext(
        make_accelerator("auto", cpu=True), Path(folder), watch, checkpoint_seconds=1e9
    )


class Watch(Silent):
    """Seconds of a step, the first one apart."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def advance(self, step: int, values: dict[str, float]) -> None:
        """A step is done."""
        self.times.append(time.perf_counter())

    def per_step(self) -> float:
        """The fastest, as other work on the machine only ever adds."""
        return float(np.diff(self.times).min())


def predict_length(tokens: int) -> Iterator[float]:
    """Classify one document of so many tokens."""
    lm = LMConfig(vocab_size=WORDS, **SIZE)
    config = ClassifierConfig(lm=lm, n_classes=2)
    model = TextClassifierModel(config, Dropouts(), HeadDropouts())
    trained = TrainedClassifier(
        config, "forward", ("a", "b"), words(WORDS), dict(model.state_dict())
    )
    predictor = Predictor([trained], device="cpu")
    text = " ".join(f"w{i}" for i in random_ids(1, tokens)[0])
    predictor.predict_proba([text[:200]])
    yield from fastest(lambda: predictor.predict_proba([text]))


def train_length(tokens: int) -> Iterator[float]:
    """A step of classifier training on eight documents of so many tokens."""
    yield from classifier_steps(tokens, ["a", "b"])


def labels(count: int) -> Iterator[float]:
    """A step of classifier training with so many labels."""
    yield from classifier_steps(20, [f"{i:06d}" for i in range(count)])


def classifier_steps(tokens: int, names: list[str]) -> Iterator[float]:
    """Training steps on batches of eight documents."""
    documents = random_ids(8 * (STEPS + 1), tokens)
    targets = one_hot([names[i % len(names)] for i in range(len(documents))], names)
    settings = ClassifierSettings(epochs=1, unfreezing="full", batch_size=8, max_tokens=None)
    watch = Watch()
    lm = language_model(WORDS)
    yield 0.0
    with tempfile.TemporaryDirectory() as folder:
        finetune_classifier(lm, (documents, targets), None, names, settings, context(folder, watch))
    yield watch.per_step()


def vocabulary(count: int) -> Iterator[float]:
    """A step of language model training with so many words."""
    yield from lm_steps(TokenCorpus.from_ids(random_ids(40, 4_000, count)), count)


def stream(tokens: int) -> Iterator[float]:
    """A step of language model training on a stream of so many tokens."""
    yield from lm_steps(TokenCorpus.from_ids(random_ids(tokens // 1_000, 1_000)), WORDS)


def lm_steps(corpus: TokenCorpus, vocab_size: int) -> Iterator[float]:
    """Training steps of 16 x 70 tokens."""
    settings = FinetuneLMSettings(
        batch_size=16, max_tokens=(STEPS + 1) * 16 * 70, epochs=10, least_steps=1, by_length=False
    )
    watch, lm = Watch(), language_model(vocab_size)
    yield 0.0
    with tempfile.TemporaryDirectory() as folder:
        finetune_lm(lm, lm.tokenizer, corpus, None, settings, context(folder, watch))
    yield watch.per_step()


def corpus(documents: int) -> Iterator[float]:
    """Tokenise so many documents of 200 words and write them as a corpus."""
    rows = random_ids(1_000, 200)
    few = [" ".join(f"w{i}" for i in row) for row in rows]
    made = words(WORDS)
    made.encode_batch(few[:1])
    with tempfile.TemporaryDirectory() as folder:
        texts = (few[i % len(few)] for i in range(documents))
        started = time.perf_counter()
        yield 0.0
        build_corpus(texts, made, Path(folder) / "corpus")
        yield time.perf_counter() - started


def fastest(work: Work) -> Iterator[float]:
    """Least time of three calls."""
    yield 0.0
    found = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    yield min(found)


CURVES: dict[str, Callable[[int], Iterator[float]]] = {
    "predict-length": predict_length,
    "train-length": train_length,
    "corpus": corpus,
    "stream": stream,
    "vocabulary": vocabulary,
    "labels": labels,
}


def peak() -> int:
    """Most bytes that this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Measure one point: first make what is given, then do the work."""
    import torch

    torch.set_num_threads(cpu_count())
    seed_everything(0)
    steps = CURVES[sys.argv[1]](int(sys.argv[2]))
    next(steps)
    before = peak()
    seconds = next(steps)
    print(json.dumps({"seconds": seconds, "bytes": peak() - before}))


if __name__ == "__main__":
    main()
