"""A classifier in use: texts to probabilities, all members together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from ulmfit.apps.decisions import most_probable, require_confidence, with_abstention
from ulmfit.apps.text_blocks import text_blocks
from ulmfit.artifacts import BACKWARD, CONFIG, FolderContents, read_folder, write_folder
from ulmfit.data.batches import backwards
from ulmfit.errors import ModelFolderError, SettingsError
from ulmfit.model.bpt3c import Encoder
from ulmfit.model.classifier import TextClassifierModel
from ulmfit.model.int8_encoder import Int8Encoder
from ulmfit.stages.calibration import CalibrationRecord
from ulmfit.stages.classifier_folder import TrainedClassifier
from ulmfit.stages.ensemble import Scores, average_scores, probabilities
from ulmfit.stages.folder_config import Calibration, LabelForm
from ulmfit.stages.lm_folder import WORK_FOLDER
from ulmfit.stages.model_card import classifier_card
from ulmfit.stages.ngrams import NGrams, blend, told_apart
from ulmfit.train.evaluate import predict_logits

Probabilities = NDArray[np.float32]

# Of the encoder's weights and products: exact, or faster on many texts (docs/log.md, "how fast and
# how exact is inference in 8 bits?").
Precision = Literal["float32", "int8"]

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name; `auto` is a GPU where there is one.

    Raises:
        SettingsError: unknown, or not on this machine.
    """
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    usable = [device for device, there in found.items() if there]
    if name == "auto":
        return torch.device(usable[0] if usable else "cpu")
    if name not in DEVICES:
        raise SettingsError(
            f"device {name!r} is unknown",
            expected=f"one of {', '.join(DEVICES)}",
            hint="Choose a GPU by the environment variable CUDA_VISIBLE_DEVICES.",
        )
    if not found.get(name, True):
        raise SettingsError(
            f"device {name!r} is not on this machine",
            expected=f"one of {', '.join(['auto', 'cpu', *usable])}",
        )
    return torch.device(name)


def _place(device: str, precision: str) -> torch.device:
    """The device, if it can do the precision.

    Raises:
        SettingsError: it cannot, or one of the two is unknown.
    """
    if precision not in get_args(Precision):
        raise SettingsError(
            f"precision {precision!r} is unknown",
            expected=f"one of {', '.join(get_args(Precision))}",
        )
    if precision == "float32":
        return choose_device(device)
    if device not in ("auto", "cpu"):
        raise SettingsError(
            f"precision {precision!r} on device {device!r}", expected="device 'cpu' or 'auto'"
        )
    return choose_device("cpu")


class Predictor:
    """Forward and backward classifier, or one of them, ready to answer.

    Answers do not depend on which texts are asked for together. Nothing is kept between calls, so
    that several threads may ask at once. Copies and pickles hold the files of the model folder.

    Args:
        members: classifiers of the same classes and tokenizer, one per direction.
        metrics: what is known of their quality; goes into the folder.
        device: where the models are, see `choose_device`.
        precision: `float32`, or `int8` on a CPU.

    Raises:
        SettingsError: the members do not belong together; there is no such device; this machine
            cannot do int8.
    """

    def __init__(
        self,
        members: Sequence[TrainedClassifier],
        metrics: Mapping[str, Any] | None = None,
        device: str = "auto",
        precision: Precision = "float32",
    ) -> None:
        fault = _disagreement(members)
        if fault is not None:
            raise SettingsError(f"these classifiers cannot answer as one: {fault}")
        self.members = tuple(members)
        self.metrics = {**members[0].metrics, **(metrics or {})}
        self.device, self.precision = device, precision
        self.min_confidence: float | None = None  # `abstaining` sets it, on its copy
        place = _place(device, precision)
        self.models: list[TextClassifierModel] = [member.model().to(place) for member in members]
        self.encoders: list[Encoder] = [
            Int8Encoder(model.encoder) if precision == "int8" else model.encoder
            for model in self.models
        ]

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of `predict_proba`."""
        return self.members[0].labels

    @property
    def label_form(self) -> LabelForm:
        """How the labels looked in Python."""
        return self.members[0].label_form

    @property
    def multi_label(self) -> bool:
        """Whether a text may have any number of labels."""
        return self.members[0].config.multi_label

    @property
    def temperature(self) -> float:
        """What the scores are divided by, see `stages.calibration`."""
        return self.members[0].calibration.temperature

    @property
    def ngrams(self) -> NGrams | None:
        """The member that counts words, see `stages.ngrams`; None where there is none."""
        return self.members[0].ngrams

    def predict_proba(self, texts: Iterable[str]) -> Probabilities:
        """Probability of each class, (N, C): rows add up to one unless multi-label.

        Raises:
            InputError: one bare string.
        """
        blocks = list(self.stream(texts))
        return np.concatenate(blocks) if blocks else np.zeros((0, len(self.labels)), np.float32)

    def stream(self, texts: Iterable[str]) -> Iterator[Probabilities]:
        """`predict_proba` block by block, for inputs that do not fit in memory."""
        return map(self._predict_block, text_blocks(texts))

    def scores(self, texts: Iterable[str]) -> Scores:
        """Scores of all members before calibration, (N, C), see `stages.ensemble`."""
        blocks = [self._score_block(block) for block in text_blocks(texts)]
        return np.concatenate(blocks) if blocks else np.zeros((0, len(self.labels)))

    def members_alone(
        self, texts: Sequence[str], probabilities: Probabilities
    ) -> dict[str, Probabilities]:
        """What the members of one kind would have answered without the other, by their name.

        Args:
            texts: that were asked for.
            probabilities: of these, (N, C).

        Returns:
            Probabilities, (N, C) each; nothing where all members are of one kind.
        """
        if self.ngrams is None or not texts:
            return {}
        documents = self.members[0].tokenizer.encode_batch(texts)
        return told_apart(
            probabilities, self.ngrams, documents, self.temperature, multi_label=self.multi_label
        )

    def decide(self, probabilities: Probabilities) -> list[str] | list[tuple[str, ...]]:
        """The most probable class of each row; for multi-label all classes over one half."""
        return most_probable(probabilities, self.labels, multi_label=self.multi_label)

    def answers(
        self, probabilities: Probabilities
    ) -> Sequence[str | None] | Sequence[tuple[str, ...] | None]:
        """`decide`, with None for rows that are less sure than `min_confidence`.

        How sure is `train.reliability.row_confidence`: the probability that the answer is right,
        with several labels that all of them are.
        """
        return with_abstention(
            self.decide(probabilities),
            probabilities,
            self.min_confidence,
            multi_label=self.multi_label,
        )

    def abstaining(self, min_confidence: float | None) -> Predictor:
        """The same classifier, whose `answers` leave out what is less sure; None: answer all.

        Raises:
            SettingsError: no probability.
        """
        require_confidence(min_confidence)
        return self._but(min_confidence=min_confidence)

    def _but(self, **changes: object) -> Predictor:
        """The same classifier with other attributes; the models are shared, not made again."""
        same = Predictor.__new__(Predictor)
        same.__dict__.update(self.__dict__ | changes)
        return same

    def _predict_block(self, texts: Sequence[str]) -> Probabilities:
        scores = self._score_block(texts)
        return probabilities(scores, multi_label=self.multi_label, temperature=self.temperature)

    def _score_block(self, texts: Sequence[str]) -> Scores:
        documents = self.members[0].tokenizer.encode_batch(texts)
        logits = []
        for member, model, encoder in zip(self.members, self.models, self.encoders, strict=True):
            turned = backwards(documents) if member.direction == "backward" else documents
            logits.append(predict_logits(model, turned, encoder))
        scores = average_scores(logits, multi_label=self.multi_label)
        if self.ngrams is not None:
            scores = blend(scores, self.ngrams, documents, multi_label=self.multi_label)
        return scores

    def with_label_form(self, form: LabelForm) -> Predictor:
        """The same classifier, which knows how its labels looked in Python."""
        return self._but(members=tuple(replace(each, label_form=form) for each in self.members))

    def with_calibration(self, record: CalibrationRecord) -> Predictor:
        """The same classifier with a temperature; what it was worth goes into the metrics."""
        calibration = Calibration(temperature=record.temperature)
        members = tuple(replace(member, calibration=calibration) for member in self.members)
        return self._but(members=members, metrics={**self.metrics, "calibration": record.to_dict()})

    def with_ngrams(self, ngrams: NGrams | None) -> Predictor:
        """The same classifier with another member that counts words, or none; not calibrated."""
        first, *others = [replace(each, calibration=Calibration()) for each in self.members]
        return self._but(members=(replace(first, ngrams=ngrams), *others))

    def save(self, path: Path, *, log: bytes | None = None) -> None:
        """Write the model folder: the first member, the other one in `backward/`.

        Args:
            path: the folder.
            log: contents of `log.jsonl`; None for what the members have.

        Raises:
            SettingsError: `path` is a file, or a folder of other things.
            StorageError: nothing is left half-written.
        """
        first, *others = self.members
        first = replace(first, metrics=self.metrics)
        files = first.files(log=log, card=self.card().encode())
        for other in others:
            inner = other.files(card=b"# The backward half of the model one folder up\n")
            files |= {f"{BACKWARD}/{name}": content for name, content in inner.items()}
        write_folder(path, files, carry=(WORK_FOLDER,))

    def card(self) -> str:
        """README of the folder."""
        first = self.members[0]
        metrics = {member.direction: member.metrics for member in self.members}
        return classifier_card(
            first.config,
            [member.direction for member in self.members],
            first.labels,
            first.info,
            {**metrics, first.direction: self.metrics},
            terms=None if self.ngrams is None else len(self.ngrams.keys),
        )

    @classmethod
    def load(cls, path: Path, device: str = "auto", precision: Precision = "float32") -> Predictor:
        """Read and verify a model folder.

        Raises:
            ModelFolderError: a file is missing, cut, altered, or not of a classifier.
            SettingsError: there is no such device.
        """
        return cls.from_contents(read_folder(Path(path)), device, precision)

    @classmethod
    def from_contents(
        cls, contents: FolderContents, device: str = "auto", precision: Precision = "float32"
    ) -> Predictor:
        """The classifier in a folder that has been read.

        Raises:
            ModelFolderError: its files do not fit together.
        """
        parts = [contents, contents.backward]
        members = [TrainedClassifier.from_contents(part) for part in parts if part is not None]
        fault = _disagreement(members)
        if fault is not None:
            raise ModelFolderError(
                f"model folder '{contents.path}' is broken: {BACKWARD}/ is of another model: "
                f"{fault}",
                hint="Copy the whole folder again from where it came from, or train again.",
            )
        return cls(members, device=device, precision=precision)

    def __reduce__(self) -> tuple[Any, ...]:
        first, *others = self.members
        members = [replace(first, metrics=self.metrics), *others]
        files = [member.files() for member in members]
        return _unpickled, (files, self.device, self.precision, self.min_confidence)


def _unpickled(
    folders: Sequence[Mapping[str, bytes]],
    device: str,
    precision: Precision,
    min_confidence: float | None = None,
) -> Predictor:
    if device not in ("cpu", choose_device("auto").type):
        device = "auto"  # it may have been made on another machine
    members = []
    for files in folders:
        contents = FolderContents(Path("(pickled)"), json.loads(files[CONFIG]), files)
        members.append(TrainedClassifier.from_contents(contents))
    return Predictor(members, device=device, precision=precision).abstaining(min_confidence)


def _disagreement(members: Sequence[TrainedClassifier]) -> str | None:
    """Why these classifiers cannot answer as one; None if they can."""
    if not members:
        return "there is none"
    first, *others = members
    for other in others:
        if other.direction == first.direction:
            return f"both are {first.direction}"
        if other.labels != first.labels:
            return f"its labels are {list(other.labels[:5])}, not {list(first.labels[:5])}"
        if other.label_form != first.label_form:
            return "its labels are of another type"
        if other.config.multi_label != first.config.multi_label:
            return "only one of the two gives several labels"
        if other.tokenizer.digest != first.tokenizer.digest:
            return "its tokenizer.json is different"
    return None
