"""A trained language model as a value, and as a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ulmfit.artifacts import (
    CONFIG,
    LOG,
    METRICS,
    README,
    TOKENIZER,
    WEIGHTS,
    FolderContents,
    read_folder,
    write_folder,
)
from ulmfit.config import Direction, Dropouts, LMConfig
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.model.language_model import LanguageModel
from ulmfit.model.quantized_rows import Store, stored
from ulmfit.stages.folder_config import (
    LMFolderConfig,
    read_lm_config,
    read_metrics,
    read_tokenizer,
)
from ulmfit.stages.folder_weights import read_weights, require_weights
from ulmfit.stages.model_card import lm_card

# What a run keeps beside the model it will become: checkpoints, corpora, logs.
WORK_FOLDER = "training"


@dataclass(frozen=True)
class TrainedLM:
    """A language model with the vocabulary it speaks.

    Attributes:
        config: sizes.
        direction: reading order.
        tokenizer: text to ids.
        weights: `LanguageModel` state, float32 on the CPU.
        info: where it comes from: corpus, settings, licence.
        metrics: perplexities and the like.
        log: records of its training, JSON lines.
    """

    config: LMConfig
    direction: Direction
    tokenizer: Tokenizer
    weights: dict[str, Tensor]
    info: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    log: bytes = b""

    def model(self, dropouts: Dropouts) -> LanguageModel:
        """A module with a copy of these weights."""
        model = _empty_model(self.config, dropouts)
        weights = {name: value.clone() for name, value in self.weights.items()}
        model.load_state_dict(weights, assign=True)
        return model

    def files(self, *, log: bytes | None = None, store: Store = "float32") -> dict[str, bytes]:
        """Contents of the model folder.

        Args:
            log: contents of `log.jsonl`; None for the model's own.
            store: how to write the weights.
        """
        config = LMFolderConfig(direction=self.direction, lm=self.config, info=self.info)
        tensors = stored(self.weights, store)
        return {
            CONFIG: to_json(config.model_dump(mode="json")),
            WEIGHTS: save({name: value.contiguous() for name, value in tensors.items()}),
            TOKENIZER: self.tokenizer.to_json().encode(),
            METRICS: to_json(self.metrics),
            LOG: self.log if log is None else log,
            README: self.card().encode(),
        }

    def card(self) -> str:
        """README of the folder."""
        return lm_card(self.config, self.direction, self.tokenizer.kind, self.info, self.metrics)

    def save(self, path: Path, *, log: bytes | None = None, store: Store = "float32") -> None:
        """Write the folder, all of it or nothing.

        Raises:
            StorageError: nothing is left half-written.
        """
        write_folder(path, self.files(log=log, store=store), carry=(WORK_FOLDER,))

    @classmethod
    def load(cls, path: Path) -> TrainedLM:
        """Read and verify a folder.

        Raises:
            ModelFolderError: it is broken, or not a language model's.
        """
        return cls.from_contents(read_folder(path))

    @classmethod
    def from_contents(cls, contents: FolderContents) -> TrainedLM:
        """The language model in a folder that has been read.

        Raises:
            ModelFolderError: it is not a language model's, or its files do not fit together.
        """
        settings = read_lm_config(contents)
        tokenizer = read_tokenizer(contents, settings.lm.vocab_size)
        require_weights(contents, settings.lm.weight_count())
        expected = _empty_model(settings.lm, Dropouts()).state_dict()
        return cls(
            config=settings.lm,
            direction=settings.direction,
            tokenizer=tokenizer,
            weights=read_weights(contents, expected),
            info=settings.info,
            metrics=read_metrics(contents),
            log=contents.files.get(LOG, b""),
        )


def _empty_model(config: LMConfig, dropouts: Dropouts) -> LanguageModel:
    """A module whose weights do not count; the caller's random numbers stay as they are.

    Not on torch's "meta" device: initialising weights there imports its compiler, two seconds.
    """
    with torch.random.fork_rng(devices=[]):
        return LanguageModel(config, dropouts)


def to_json(value: dict[str, Any]) -> bytes:
    """Readable JSON in UTF-8."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode()
