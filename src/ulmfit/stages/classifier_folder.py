"""A trained classifier as a value, and as a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from safetensors.torch import save
from torch import Tensor

from ulmfit.artifacts import FolderContents
from ulmfit.config import ClassifierConfig, Direction, Dropouts
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import ModelFolderError
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel
from ulmfit.stages.lm_folder import load_weights

KIND = "classifier"


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
    """

    config: ClassifierConfig
    direction: Direction
    labels: tuple[str, ...]
    tokenizer: Tokenizer
    weights: dict[str, Tensor]
    info: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    def model(self) -> TextClassifierModel:
        """A module with these weights, in evaluation mode."""
        model = TextClassifierModel(self.config, Dropouts(), HeadDropouts())
        model.load_state_dict(self.weights)
        return model.eval()

    def files(self, *, log: bytes = b"", card: bytes = b"") -> dict[str, bytes]:
        """Contents of the model folder."""
        config = {
            "kind": KIND,
            "direction": self.direction,
            "classifier": self.config.model_dump(),
            "labels": self.labels,
            "info": self.info,
        }
        return {
            "config.json": _json(config),
            "model.safetensors": save({k: v.contiguous() for k, v in self.weights.items()}),
            "tokenizer.json": self.tokenizer.to_json().encode(),
            "metrics.json": _json(self.metrics),
            "log.jsonl": log,
            "README.md": card,
        }

    @classmethod
    def from_contents(cls, contents: FolderContents) -> TrainedClassifier:
        """The classifier in a folder that has been read and verified.

        Raises:
            ModelFolderError: it is not a classifier's, or its files do not fit together.
        """
        settings = contents.config
        if settings.get("kind") != KIND:
            raise ModelFolderError(
                f"model folder '{contents.path}' is of kind {settings.get('kind')!r}",
                expected=f"{KIND!r}",
                hint="Give a folder that `ulmfit train` or `ulmfit finetune-classifier` made.",
            )
        tokenizer = Tokenizer.from_json(contents.require("tokenizer.json").decode())
        config = ClassifierConfig(**settings["classifier"])
        if tokenizer.vocab_size != config.lm.vocab_size:
            raise ModelFolderError(
                f"tokenizer.json of '{contents.path}' has {tokenizer.vocab_size} entries",
                expected=f"the {config.lm.vocab_size} of config.json",
                hint="The two files are of different models: copy the whole folder again.",
            )
        return cls(
            config=config,
            direction=settings["direction"],
            labels=tuple(settings["labels"]),
            tokenizer=tokenizer,
            weights=load_weights(contents),
            info=settings.get("info", {}),
            metrics=json.loads(contents.files.get("metrics.json", b"{}")),
        )


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()
