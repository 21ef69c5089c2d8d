"""Language models by name: those in the package, and folders on disk."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ulmfit.artifacts import BACKWARD, CONFIG, TOKENIZER, WEIGHTS, FolderContents, read_folder
from ulmfit.config import Direction
from ulmfit.errors import ModelFolderError, SettingsError
from ulmfit.stages.folder_config import read_lm_config, read_metrics, read_tokenizer
from ulmfit.stages.model_card import layers_text

if TYPE_CHECKING:
    from ulmfit.stages.lm_folder import TrainedLM  # imports torch, which listing does without

DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")
SHIPPED = Path(__file__).parent.parent / "pretrained"


@dataclass(frozen=True)
class LMRecord:
    """What `ulmfit lms` tells of one language model in one direction.

    Attributes:
        name: what `--lm` takes.
        direction: reading order.
        vocabulary: entries.
        vocabulary_kind: word, bpe or unigram.
        size_mb: of the weights on disk, in millions of bytes.
        licence: of the corpus and the weights.
        corpus: what it was trained on.
        perplexity: per token, on held-out text; None where it was not measured.
        word_perplexity: per white-space word.
        bits_per_char: bits per character.
        scores: by the name of the text, what `ulmfit evaluate-lm --record` found.
        layers: sizes.
        sha256: of the weights.
    """

    name: str
    direction: Direction
    vocabulary: int
    vocabulary_kind: str
    size_mb: float
    licence: str
    corpus: str
    perplexity: float | None
    word_perplexity: float | None
    bits_per_char: float | None
    scores: dict[str, dict[str, Any]]
    layers: str
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def list_lms(folder: Path | None = None) -> list[LMRecord]:
    """The language models in the package, each direction for itself; torch is not needed.

    Args:
        folder: where to look, None for the package's own.

    Raises:
        ModelFolderError: one of them is broken.
    """
    return [
        _record(name, contents)
        for name, path in shipped_lms(folder).items()
        for contents in _directions(read_folder(path))
    ]


def shipped_lms(folder: Path | None = None) -> dict[str, Path]:
    """Name and folder of each language model in the package."""
    place = folder if folder is not None else SHIPPED
    if not place.is_dir():
        return {}
    return {path.name: path for path in sorted(place.iterdir()) if (path / CONFIG).is_file()}


def _record(name: str, contents: FolderContents) -> LMRecord:
    config, metrics = read_lm_config(contents), read_metrics(contents)
    weights = contents.require(WEIGHTS)
    return LMRecord(
        name=name,
        direction=config.direction,
        vocabulary=config.lm.vocab_size,
        vocabulary_kind=read_tokenizer(contents, config.lm.vocab_size).kind,
        size_mb=round(len(weights) / 1e6, 1),
        licence=str(config.info.get("licence", "unknown")),
        corpus=str(config.info.get("corpus", "unknown")),
        perplexity=metrics.get("perplexity"),
        word_perplexity=metrics.get("word_perplexity"),
        bits_per_char=metrics.get("bits_per_char"),
        scores=metrics.get("scores", {}),
        layers=layers_text(config.lm),
        sha256=hashlib.sha256(weights).hexdigest(),
    )


def resolve_lms(
    name: str | Path, directions: Sequence[Direction] | None, folder: Path | None = None
) -> dict[Direction, TrainedLM]:
    """Load a language model for each wanted direction, each file checked by its SHA-256.

    Args:
        name: a name that `list_lms` gives, or a folder that `pretrain` or `finetune-lm` made; the
            folder's own model, and one in its `backward/`, each say which direction they are. A
            name wins over a folder called the same; "./name" is the folder.
        directions: which are needed, None for all that there are.
        folder: where the shipped ones are, None for the package's own.

    Raises:
        SettingsError: no such name or folder.
        ModelFolderError: broken, a direction is missing, or the two are not of one vocabulary.
    """
    from ulmfit.stages.lm_folder import TrainedLM

    path = _locate(name, shipped_lms(folder))
    found = {part.config.get("direction"): part for part in _directions(read_folder(path))}
    if directions is None:
        directions = [d for d in DIRECTIONS if d in found]
    missing = [direction for direction in directions if direction not in found]
    if missing:
        for part in found.values():
            TrainedLM.from_contents(part)  # is it a language model at all?
        there = " and ".join(str(direction) for direction in found)
        raise ModelFolderError(
            f"language model '{path}' has no {missing[0]} direction",
            expected=f"what it has: {there}",
            hint=f"Choose the direction {there}, or pretrain the other one.",
        )
    lms = {direction: TrainedLM.from_contents(found[direction]) for direction in directions}
    if len({lm.tokenizer.digest for lm in lms.values()}) > 1:
        raise ModelFolderError(
            f"language model '{path}' is broken: {BACKWARD}/{TOKENIZER} is different from "
            f"{TOKENIZER}",
            expected="one vocabulary for both directions",
            hint="Train each direction alone, or pretrain the two on one vocabulary.",
        )
    return lms


def _directions(contents: FolderContents) -> Iterator[FolderContents]:
    yield contents
    if contents.backward is not None:
        yield contents.backward


def locate_lm(name: str | Path, folder: Path | None = None) -> Path:
    """The folder that a name stands for, or a folder itself.

    Raises:
        SettingsError: neither; the nearest name is offered.
    """
    return _locate(name, shipped_lms(folder))


def _locate(name: str | Path, shipped: Mapping[str, Path]) -> Path:
    if isinstance(name, str) and name in shipped:
        return shipped[name]
    if Path(name).exists():
        return Path(name)
    close = difflib.get_close_matches(str(name), shipped, n=1)
    raise SettingsError(
        f"language model {str(name)!r} is neither a name nor a folder",
        expected=f"one of {', '.join(shipped) or '(none in this installation)'}, or a folder",
        hint=f"Did you mean {close[0]!r}?" if close else None,
    )
