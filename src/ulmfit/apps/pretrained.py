"""Language models by name: those in the package, and folders on disk."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from ulmfit.artifacts import FolderContents, read_config, read_folder
from ulmfit.config import Direction
from ulmfit.errors import ModelFolderError, SettingsError
from ulmfit.stages.lm_folder import TrainedLM

SHIPPED = Path(__file__).parent.parent / "pretrained"


@dataclass(frozen=True)
class LMRecord:
    """What `ulmfit lms` tells of one language model in one direction."""

    name: str
    direction: Direction
    vocabulary: int
    vocabulary_kind: str
    size_mb: float
    licence: str
    corpus: str
    perplexity: float | None
    word_perplexity: float | None
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def list_lms(folder: Path = SHIPPED) -> list[LMRecord]:
    """The language models in the package, each direction for itself."""
    records = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        for place in (path, path / "backward"):
            if (place / "config.json").is_file():
                records.append(_record(path.name, place))
    return records


def _record(name: str, path: Path) -> LMRecord:
    config = read_config(path)
    metrics = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
    weights = path / "model.safetensors"
    info = config.get("info", {})
    return LMRecord(
        name=name,
        direction=config["direction"],
        vocabulary=config["lm"]["vocab_size"],
        vocabulary_kind=info.get("vocabulary", "word"),
        size_mb=round(weights.stat().st_size / 1e6, 1),
        licence=info.get("licence", "unknown"),
        corpus=info.get("corpus", "unknown"),
        perplexity=metrics.get("perplexity"),
        word_perplexity=metrics.get("word_perplexity"),
        sha256=_sha256(weights),
    )


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def resolve_lms(
    name: str | Path, directions: Sequence[Direction], folder: Path = SHIPPED
) -> dict[Direction, TrainedLM]:
    """Load a language model for each wanted direction.

    Args:
        name: a name that `list_lms` gives, or a folder that `pretrain` or `finetune-lm` made; the
            folder's own model, and one in its `backward/`, each say which direction they are.
        directions: which are needed.
        folder: where the shipped ones are.

    Raises:
        SettingsError: no such name or folder.
        ModelFolderError: broken, or a direction is missing.
    """
    path = Path(name)
    if not path.is_dir():
        path = folder / str(name)
        known = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        if str(name) not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            raise SettingsError(
                f"language model {str(name)!r} is neither a name nor a folder",
                expected=f"one of {', '.join(known) or '(none in this installation)'}, or a folder",
                hint=f"Did you mean {close[0]!r}?" if close else None,
            )
    found: dict[Direction, FolderContents] = {}
    contents = read_folder(path)
    for part in (contents, contents.backward):
        if part is not None and part.config.get("direction") in get_args(Direction):
            found.setdefault(part.config["direction"], part)
    missing = [direction for direction in directions if direction not in found]
    if missing:
        raise ModelFolderError(
            f"language model '{path}' has no {missing[0]} direction",
            expected=f"one of its own: {', '.join(found)}",
            hint=f"Add --direction {next(iter(found), 'forward')}, or pretrain the other one.",
        )
    return {direction: TrainedLM.from_contents(found[direction]) for direction in directions}
