"""A trained classifier as a value, and as a folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ulmfit.artifacts import (
    CONFIG,
    LOG,
    METRICS,
    NGRAMS,
    README,
    TOKENIZER,
    WEIGHTS,
    FolderContents,
)
from ulmfit.config import ClassifierConfig, Direction, Dropouts
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel
from ulmfit.stages.folder_config import (
    Calibration,
    ClassifierFolderConfig,
    LabelForm,
    NGramConfig,
    broken,
    read_classifier_config,
    read_metrics,
    read_tokenizer,
)
from ulmfit.stages.folder_weights import read_weights, require_weights
from ulmfit.stages.lm_folder import to_json
from ulmfit.stages.ngrams import NGrams


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier of one direction.

    Attributes:
        config: sizes.
        direction: reading order.
        labels: names of the classes, by position.
        tokenizer: text to ids.
        weights: `TextClassifierModel` state, on the CPU.
        info: settings and where the model comes from.
        metrics: validation metrics.
        label_form: how answers look in Python.
        log: records of its training, JSON lines.
        calibration: of the model that this is the first member of.
        ngrams: its member that counts words, None for none.
    """

    config: ClassifierConfig
    direction: Direction
    labels: tuple[str, ...]
    tokenizer: Tokenizer
    weights: dict[str, Tensor]
    info: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    label_form: LabelForm = field(default_factory=LabelForm)
    log: bytes = b""
    calibration: Calibration = field(default_factory=Calibration)
    ngrams: NGrams | None = None

    def model(self) -> TextClassifierModel:
        """A module on these very weights, for evaluation only: they are shared, not copied."""
        model = _empty_model(self.config)
        model.load_state_dict(self.weights, assign=True)
        return model.requires_grad_(False).eval()

    @property
    def ngram_config(self) -> NGramConfig | None:
        """What `config.json` says of `ngrams`."""
        if self.ngrams is None:
            return None
        return NGramConfig(terms=len(self.ngrams.keys), share=self.ngrams.share)

    def files(self, *, log: bytes | None = None, card: bytes = b"") -> dict[str, bytes]:
        """Contents of the model folder.

        Args:
            log: contents of `log.jsonl`; None for the model's own.
            card: contents of `README.md`.
        """
        config = ClassifierFolderConfig(
            direction=self.direction,
            classifier=self.config,
            labels=self.labels,
            label_form=self.label_form,
            calibration=self.calibration,
            ngrams=self.ngram_config,
            info=self.info,
        )
        extra = {NGRAMS: self.ngrams.to_bytes()} if self.ngrams is not None else {}
        return {
            CONFIG: to_json(config.model_dump(mode="json")),
            WEIGHTS: save({name: value.contiguous() for name, value in self.weights.items()}),
            TOKENIZER: self.tokenizer.to_json().encode(),
            METRICS: to_json(self.metrics),
            LOG: self.log if log is None else log,
            README: card,
            **extra,
        }

    @classmethod
    def from_contents(cls, contents: FolderContents) -> TrainedClassifier:
        """The classifier in a folder that has been read and verified.

        Raises:
            ModelFolderError: it is not a classifier's, or its files do not fit together.
        """
        settings = read_classifier_config(contents)
        config = settings.classifier
        require_weights(contents, config.weight_count())
        return cls(
            config=config,
            direction=settings.direction,
            labels=settings.labels,
            tokenizer=read_tokenizer(contents, config.lm.vocab_size),
            weights=read_weights(contents, _empty_model(config).state_dict()),
            info=settings.info,
            metrics=read_metrics(contents),
            label_form=settings.label_form,
            log=contents.files.get(LOG, b""),
            calibration=settings.calibration,
            ngrams=_read_ngrams(contents, settings),
        )


def _read_ngrams(contents: FolderContents, config: ClassifierFolderConfig) -> NGrams | None:
    if config.ngrams is None:
        return None
    sizes = {"terms": config.ngrams.terms, "n_classes": len(config.labels)}
    try:
        return NGrams.from_bytes(contents.require(NGRAMS), **sizes, share=config.ngrams.share)
    except ValueError as error:
        raise broken(contents, NGRAMS, [str(error)]) from error


def _empty_model(config: ClassifierConfig) -> TextClassifierModel:
    """A module whose weights do not count; the caller's random numbers stay as they are.

    Not on torch's "meta" device: initialising weights there imports its compiler, two seconds.
    """
    with torch.random.fork_rng(devices=[]):
        return TextClassifierModel(config, Dropouts(), HeadDropouts())
