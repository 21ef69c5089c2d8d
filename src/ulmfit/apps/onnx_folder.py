"""What an exported folder says of itself: `config.json`, checked without pydantic.

Whoever only predicts shall need nothing beyond onnxruntime, tokenizers and numpy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ulmfit.artifacts import CONFIG, FolderContents
from ulmfit.errors import ModelFolderError

KIND = "onnx_classifier"

_DIRECTIONS = ("forward", "backward")
_COPY_AGAIN = "Copy the whole folder again from where it came from, or export again."


@dataclass(frozen=True)
class OnnxSettings:
    """What the runtime has to know.

    Attributes:
        precision: fp32 or int8.
        directions: those of which there is a graph.
        labels: names of the classes, by position.
        multi_label: whether a text may have any number of them.
        threshold: a label of several is given above this probability.
        temperature: scores are divided by it, see `stages.ensemble`.
        chunk: tokens of a document that go through the graph at a time.
        pool_tokens: the pooling window, which begins with a chunk; None: the whole document.
        state: name and width of all that goes from chunk to chunk.
        terms: words and pairs that the member which counts words knows; None: there is none.
        share: what that member's scores count.
    """

    precision: str
    directions: tuple[str, ...]
    labels: tuple[str, ...]
    multi_label: bool
    threshold: float
    temperature: float
    chunk: int
    pool_tokens: int | None
    state: tuple[tuple[str, int], ...]
    terms: int | None
    share: float

    @property
    def outputs(self) -> list[str]:
        """Names of what the graph is asked for: the logits, then the state."""
        return ["logits", *(f"next_{name}" for name, _ in self.state)]


def is_exported(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is of an exported folder."""
    return config.get("kind") == KIND


def read_settings(contents: FolderContents) -> OnnxSettings:
    """The settings in an exported folder.

    Raises:
        ModelFolderError: it is of another kind, or its `config.json` is not as this version writes
            it.
    """
    if not is_exported(contents.config):
        raise ModelFolderError(
            f"model folder '{contents.path}' is of kind {contents.config.get('kind')!r}",
            expected=repr(KIND),
            hint="Give a folder that `ulmfit export` made.",
        )
    try:
        return _parse(contents.config)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelFolderError(
            f"model folder '{contents.path}' is broken: {CONFIG}: {reason}", hint=_COPY_AGAIN
        ) from error


def _parse(config: Mapping[str, Any]) -> OnnxSettings:
    sizes = config["classifier"]
    ngrams = config.get("ngrams")  # exports of earlier versions have none
    settings = OnnxSettings(
        precision=str(config["precision"]),
        directions=tuple(config["directions"]),
        labels=tuple(str(label) for label in config["labels"]),
        multi_label=bool(sizes["multi_label"]),
        threshold=float(config["threshold"]),
        temperature=float(config["calibration"]["temperature"]),
        chunk=int(sizes["chunk"]),
        pool_tokens=None if sizes["pool_tokens"] is None else int(sizes["pool_tokens"]),
        state=tuple((str(name), int(size)) for name, size in config["state"].items()),
        terms=None if ngrams is None else int(ngrams["terms"]),
        share=0.0 if ngrams is None else float(ngrams["share"]),
    )
    found = settings.directions
    if not found or len(set(found)) < len(found) or not set(found) <= set(_DIRECTIONS):
        raise ValueError(f"key 'directions' is {list(found)}")
    if config["calibration"]["version"] != 1:
        raise ValueError(f"key 'calibration.version' is {config['calibration']['version']}, not 1")
    if ngrams is not None and ngrams["version"] != 1:
        raise ValueError(f"key 'ngrams.version' is {ngrams['version']}, not 1")
    if not math.isfinite(settings.share):
        raise ValueError(f"key 'ngrams.share' is {settings.share}")
    if not 0 < settings.temperature < math.inf:
        raise ValueError(f"key 'calibration.temperature' is {settings.temperature}")
    if settings.chunk < 1:
        raise ValueError(f"key 'classifier.chunk' is {settings.chunk}")
    if not settings.labels or len(set(settings.labels)) < len(settings.labels):
        raise ValueError("key 'labels' has a label twice, or none")
    return settings
