"""What both sides of a comparison are given: one vocabulary, one set of ids, one set of weights.

Written into a work folder once, read by every worker: texts as JSON, ids as NumPy archives, weights
as safetensors, and ready classifiers as model folders.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from ulmfit.apps.predictor import Predictor
from ulmfit.config import ClassifierConfig, Dropouts, LMConfig
from ulmfit.data.datasets import Dataset, load_dataset
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel
from ulmfit.model.language_model import LanguageModel
from ulmfit.stages.classifier_folder import TrainedClassifier

Ids = NDArray[np.int32]

DONE = "complete.json"  # written last
# fastai's classifier pools the last 20 x 72 tokens; shorter documents mean the same to both.
LONGEST_CHECKED = 1440
# Documents of a training epoch stand in batches of like length: those at these quantiles.
QUANTILES = (1 / 6, 1 / 2, 5 / 6)


@dataclass(frozen=True)
class ModelSize:
    """Sizes of an AWD-LSTM, as `LMConfig` names them."""

    emb_size: int
    hidden_size: int
    n_layers: int


@dataclass(frozen=True)
class Sizes:
    """How much there is of everything.

    Attributes:
        models: by name; the first one is the one to train.
        vocab_size: words.
        lm_texts: reviews in the language model's stream.
        lm_batch: streams of a window.
        lm_steps: steps of a timed run.
        trec_documents: questions of a timed run.
        trec_batch: questions of a batch.
        imdb_batch: reviews of a batch; a timed run has one batch for each of `QUANTILES`.
        bulk: reviews to predict.
        one_tokens: length of the text that is predicted alone, in tokens.
        calls: of one text in a timed run.
        short_calls: the same, for TREC-sized texts.
        tokenised: reviews to tokenise; the slow side takes a fiftieth.
    """

    models: dict[str, ModelSize]
    vocab_size: int = 30_000
    lm_texts: int = 1_200
    lm_batch: int = 64
    lm_steps: int = 2
    trec_documents: int = 5 * 64
    trec_batch: int = 64
    imdb_batch: int = 32
    bulk: int = 300
    one_tokens: int = 315
    calls: int = 6
    short_calls: int = 40
    tokenised: int = 20_000


FULL = Sizes(
    {
        "paper": ModelSize(emb_size=400, hidden_size=1152, n_layers=3),
        "small": ModelSize(emb_size=256, hidden_size=640, n_layers=2),
    }
)
SMOKE = Sizes(
    {
        "paper": ModelSize(emb_size=16, hidden_size=24, n_layers=2),
        "small": ModelSize(emb_size=8, hidden_size=12, n_layers=2),
    },
    vocab_size=500,
    lm_texts=400,
    lm_batch=4,
    trec_documents=24,
    trec_batch=8,
    imdb_batch=4,
    bulk=12,
    one_tokens=12,
    calls=2,
    short_calls=2,
    tokenised=40,
)


def write_materials(folder: Path, reviews: Dataset, tests: list[str], sizes: Sizes) -> None:
    """Write everything that the workers read.

    Args:
        folder: is made.
        reviews: labelled documents to train on, long ones.
        tests: documents to predict, of the same kind.
        sizes: how much of each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    questions = load_dataset("name:trec6")
    words = Tokenizer.train([*reviews.texts, *questions.texts], vocab_size=sizes.vocab_size)
    (folder / "tokenizer.json").write_text(words.to_json(), "utf-8")
    write_json(folder / "vocab.json", words.vocab)
    write_json(folder / "sizes.json", {name: asdict(size) for name, size in sizes.models.items()})
    stream = words.encode_batch(reviews.texts[: sizes.lm_texts])
    write_documents(folder / "lm.npz", stream, np.zeros(len(stream), dtype=np.int64))
    long = labelled_ids(words, reviews)
    write_documents(folder / "imdb.npz", *like_an_epoch(*long, sizes.imdb_batch))
    ids, labels = labelled_ids(words, questions)
    n = sizes.trec_documents
    write_documents(folder / "trec6.npz", ids[:n], labels[:n])
    write_texts(folder, words, tests, questions.texts, sizes)
    for name, size in sizes.models.items():
        config = LMConfig(vocab_size=words.vocab_size, **asdict(size))
        write_models(folder, name, config, words)
    write_json(folder / DONE, asdict(sizes))


def is_complete(folder: Path, sizes: Sizes) -> bool:
    """Whether a folder holds all of it, of these sizes."""
    path = folder / DONE
    return path.exists() and json.loads(path.read_text("utf-8")) == asdict(sizes)


def write_texts(
    folder: Path, words: Tokenizer, tests: list[str], questions: list[str], sizes: Sizes
) -> None:
    """Texts to predict and to tokenise, and ids whose answers are compared."""
    chosen = tests[:: max(1, len(tests) // sizes.bulk)][: sizes.bulk]
    lengths = np.array([len(ids) for ids in words.encode_batch(tests[:5000])])
    alone = tests[int(np.abs(lengths - sizes.one_tokens).argmin())]
    texts = {"reviews": chosen, "one": [alone], "short": questions[-50:]}
    write_json(folder / "texts.json", texts)
    encoded = words.encode_batch(chosen)
    write_documents(folder / "reviews.npz", encoded, np.zeros(len(encoded), dtype=np.int64))
    write_json(folder / "tokenised.json", tests[: sizes.tokenised])
    ids = words.encode_batch([*chosen[:20], *texts["short"][:20]])
    checked = [row.tolist() for row in ids if len(row) <= LONGEST_CHECKED]
    write_json(folder / "checked.json", checked)
    flat = np.concatenate(ids)
    write_json(folder / "window.json", flat[: flat.size // 4 * 4].reshape(4, -1)[:, :33].tolist())


def labelled_ids(words: Tokenizer, data: Dataset) -> tuple[list[Ids], NDArray[np.int64]]:
    """Ids and class number of every document, shuffled."""
    order = np.random.default_rng(0).permutation(len(data))
    classes = {name: i for i, name in enumerate(data.classes)}
    labels = np.array([classes[str(label)] for label in data.labels or []], dtype=np.int64)
    texts = words.encode_batch(data.texts)
    return [texts[i] for i in order], labels[order]


def like_an_epoch(
    documents: Sequence[Ids], labels: NDArray[np.int64], batch: int
) -> tuple[list[Ids], NDArray[np.int64]]:
    """A few batches of documents of like length, as an epoch over all of them would have."""
    order = np.argsort([len(document) for document in documents], kind="stable")
    places = [int(q * len(order)) - batch // 2 for q in QUANTILES]
    rows = np.concatenate([order[max(0, place) : max(0, place) + batch] for place in places])
    return [documents[row] for row in rows], labels[rows]


def write_models(folder: Path, name: str, config: LMConfig, words: Tokenizer) -> None:
    """A language model, and classifiers of two and of six classes."""
    torch.manual_seed(0)
    lm = LanguageModel(config, Dropouts())
    widen(lm)
    save_file(lm.state_dict(), folder / f"{name}-lm.safetensors")
    for n_classes in (2, 6):
        sizes = ClassifierConfig(lm=config, n_classes=n_classes)
        model = TextClassifierModel(sizes, Dropouts(), HeadDropouts())
        widen(model)
        weights = {key: value.detach() for key, value in model.state_dict().items()}
        labels = tuple(str(label) for label in range(n_classes))
        trained = TrainedClassifier(sizes, "forward", labels, words, weights)
        Predictor([trained], device="cpu").save(folder / f"{name}-{n_classes}")


@torch.no_grad()
def widen(model: torch.nn.Module) -> None:
    """Weights far larger than initial ones: answers differ from text to text by whole numbers.

    fastai's linear layers after a batch norm have no bias: ours are set to nothing.
    """
    for name, value in model.state_dict().items():
        if "embedding" in name:
            value.normal_(0.0, 0.5)
        elif "rnns" in name:
            value.mul_(2.0)
        elif name.endswith("running_var"):
            value.fill_(0.01)
        elif "linear" in name and name.endswith("bias"):
            value.zero_()


def write_documents(path: Path, documents: Sequence[Ids], labels: NDArray[np.int64]) -> None:
    """Ids one after another, where each document starts and the end, and labels."""
    starts = np.zeros(len(documents) + 1, dtype=np.int64)
    np.cumsum([len(document) for document in documents], out=starts[1:])
    np.savez(path, ids=np.concatenate(documents), starts=starts, labels=labels)


def write_json(path: Path, value: Any) -> None:
    """One value as a JSON file."""
    path.write_text(json.dumps(value), "utf-8")


def mean_length(path: Path) -> int:
    """Tokens of a document on average."""
    with np.load(path) as file:
        return int(file["starts"][-1]) // (len(file["starts"]) - 1)
