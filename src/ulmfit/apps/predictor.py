"""A classifier in use: texts to probabilities, both directions averaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.artifacts import FolderContents, read_folder, write_folder
from ulmfit.data.batches import backwards
from ulmfit.model.classifier import TextClassifierModel
from ulmfit.stages.classifier_folder import TrainedClassifier
from ulmfit.stages.ensemble import average
from ulmfit.stages.lm_folder import WORK_FOLDER
from ulmfit.train.evaluate import predict_logits

Probabilities = NDArray[np.float32]

# Texts encoded at a time: enough to sort by length, few enough to hold.
BLOCK_TEXTS = 1024
BLOCK_CHARS = 4_000_000


class Predictor:
    """Forward and backward classifier, or one of them, ready to answer.

    Answers do not depend on which texts are asked for together. Nothing is kept between calls, so
    that several threads may ask at once.

    Args:
        members: classifiers of the same classes and tokenizer, one per direction.
        metrics: what is known of their quality; goes into the folder.
    """

    def __init__(
        self, members: Sequence[TrainedClassifier], metrics: dict[str, Any] | None = None
    ) -> None:
        self.members = tuple(members)
        self.models: list[TextClassifierModel] = [member.model() for member in members]
        self.metrics = metrics or {}

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of `predict_proba`."""
        return self.members[0].labels

    @property
    def multi_label(self) -> bool:
        """Whether a text may have any number of labels."""
        return self.members[0].config.multi_label

    def predict_proba(self, texts: Iterable[str]) -> Probabilities:
        """Probability of each class, (N, C): rows add up to one unless multi-label."""
        blocks = list(self.stream(texts))
        return np.concatenate(blocks) if blocks else np.zeros((0, len(self.labels)), np.float32)

    def stream(self, texts: Iterable[str]) -> Iterator[Probabilities]:
        """`predict_proba` block by block, for inputs that do not fit in memory."""
        for block in text_blocks(texts):
            yield self._predict_block(block)

    def decide(self, probabilities: Probabilities) -> list[str] | list[tuple[str, ...]]:
        """The most probable class of each row; for multi-label all classes over one half."""
        if self.multi_label:
            return [
                tuple(name for name, p in zip(self.labels, row, strict=True) if p > 0.5)
                for row in probabilities
            ]
        return [self.labels[i] for i in probabilities.argmax(axis=1)]

    def _predict_block(self, texts: Sequence[str]) -> Probabilities:
        documents = self.members[0].tokenizer.encode_batch(texts)
        answers = []
        for member, model in zip(self.members, self.models, strict=True):
            turned = backwards(documents) if member.direction == "backward" else documents
            answers.append(_probabilities(predict_logits(model, turned), self.multi_label))
        return average(answers)

    def save(self, path: Path, *, log: bytes = b"") -> None:
        """Write the model folder: the first member, the other one in `backward/`.

        Raises:
            StorageError: nothing is left half-written.
        """
        first, *others = self.members
        files = first.files(log=log, card=self.card().encode())
        for other in others:
            inner = other.files(card=b"# The backward half of the model one folder up\n")
            files |= {f"backward/{name}": content for name, content in inner.items()}
        write_folder(path, files, carry=(WORK_FOLDER,))

    def card(self) -> str:
        """README of the folder."""
        directions = " and ".join(member.direction for member in self.members)
        lines = [
            "# Text classifier",
            "",
            f"ULMFiT, {directions}. Classes: {', '.join(self.labels)}.",
            "",
            *(f"- {name}: {value}" for name, value in self.metrics.items()),
            "",
            "    from ulmfit import TextClassifier",
            '    TextClassifier.load("<this folder>").predict(["a text"])',
        ]
        return "\n".join(lines) + "\n"

    @classmethod
    def load(cls, path: Path) -> Predictor:
        """Read and verify a model folder.

        Raises:
            ModelFolderError: a file is missing, cut, altered, or not of a classifier.
        """
        return cls.from_contents(read_folder(Path(path)))

    @classmethod
    def from_contents(cls, contents: FolderContents) -> Predictor:
        """The classifier in a folder that has been read."""
        parts = [contents, contents.backward]
        members = [TrainedClassifier.from_contents(part) for part in parts if part is not None]
        return cls(members, members[0].metrics)


def text_blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Cut a stream in lists of at most `BLOCK_TEXTS` texts and about `BLOCK_CHARS` characters."""
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text)
        if len(block) == BLOCK_TEXTS or size >= BLOCK_CHARS:
            yield block
            block, size = [], 0
    if block:
        yield block


def _probabilities(logits: NDArray[np.float32], multi_label: bool) -> Probabilities:
    if multi_label:
        return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))), dtype=np.float32)
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)
