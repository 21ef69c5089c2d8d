"""A trained language model as a value, and as a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ulmfit.artifacts import FolderContents, read_folder, write_folder
from ulmfit.config import Direction, Dropouts, LMConfig
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import ModelFolderError
from ulmfit.model.language_model import LanguageModel
from ulmfit.model.quantized_rows import dequantize_rows, quantize_rows

KIND = "language_model"
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
    """

    config: LMConfig
    direction: Direction
    tokenizer: Tokenizer
    weights: dict[str, Tensor]
    info: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    def model(self, dropouts: Dropouts) -> LanguageModel:
        """A module with these weights."""
        model = LanguageModel(self.config, dropouts)
        model.load_state_dict(self.weights)
        return model

    def files(self, *, log: bytes = b"", eight_bit: bool = False) -> dict[str, bytes]:
        """Contents of the model folder.

        Args:
            log: contents of `log.jsonl`.
            eight_bit: store matrices as 8-bit rows, a quarter of the size.
        """
        config = {
            "kind": KIND,
            "direction": self.direction,
            "lm": self.config.model_dump(),
            "info": self.info,
        }
        tensors = quantize_rows(self.weights) if eight_bit else self.weights
        return {
            "config.json": _json(config),
            "model.safetensors": save({k: v.contiguous() for k, v in tensors.items()}),
            "tokenizer.json": self.tokenizer.to_json().encode(),
            "metrics.json": _json(self.metrics),
            "log.jsonl": log,
            "README.md": self.card().encode(),
        }

    def card(self) -> str:
        """README of the folder."""
        lines = [f"# {self.direction.capitalize()} AWD-LSTM language model", ""]
        facts = {**self.config.model_dump(), **self.info, **self.metrics}
        lines += [f"- {key}: {value}" for key, value in facts.items() if key != "settings"]
        return "\n".join(lines) + "\n"

    def save(self, path: Path, *, log: bytes = b"", eight_bit: bool = False) -> None:
        """Write the folder, all of it or nothing."""
        write_folder(path, self.files(log=log, eight_bit=eight_bit), carry=(WORK_FOLDER,))

    @classmethod
    def load(cls, path: Path) -> TrainedLM:
        """Read and verify a folder.

        Raises:
            ModelFolderError: it is broken, or not a language model's.
        """
        return cls.from_contents(read_folder(path))

    @classmethod
    def from_contents(cls, contents: FolderContents) -> TrainedLM:
        """The language model in a folder that has been read."""
        config = contents.config
        if config.get("kind") != KIND:
            raise ModelFolderError(
                f"model folder '{contents.path}' is of kind {config.get('kind')!r}",
                expected=f"{KIND!r}",
                hint="Give a folder that `ulmfit pretrain` or `ulmfit finetune-lm` made.",
            )
        tokenizer = Tokenizer.from_json(contents.require("tokenizer.json").decode())
        lm = LMConfig(**config["lm"])
        if tokenizer.vocab_size != lm.vocab_size:
            raise ModelFolderError(
                f"tokenizer.json of '{contents.path}' has {tokenizer.vocab_size} entries",
                expected=f"the {lm.vocab_size} of config.json",
                hint="The two files are of different models: copy the whole folder again.",
            )
        return cls(
            config=lm,
            direction=config["direction"],
            tokenizer=tokenizer,
            weights=load_weights(contents),
            info=config.get("info", {}),
            metrics=json.loads(contents.files.get("metrics.json", b"{}")),
        )


def load_weights(contents: FolderContents) -> dict[str, Tensor]:
    """The tensors of `model.safetensors`, as float32 where they are stored smaller."""
    try:
        tensors = load(contents.require("model.safetensors"))
    except SafetensorError as error:
        raise ModelFolderError(
            f"model.safetensors in '{contents.path}' cannot be read: {error}"
        ) from error
    return {
        name: value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        for name, value in dequantize_rows(tensors).items()
    }


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()
