"""Facts that a language model's folder gets after training: scores, and what the corpus is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ulmfit.artifacts import BACKWARD, CONFIG, METRICS, README, FolderContents, read_folder
from ulmfit.artifacts import write_folder as write
from ulmfit.config import Direction
from ulmfit.stages.folder_config import LMFolderConfig, read_lm_config, read_metrics, read_tokenizer
from ulmfit.stages.lm_folder import WORK_FOLDER, to_json
from ulmfit.stages.model_card import lm_card

SCORES = "scores"


def record_facts(
    path: Path,
    *,
    scores: Mapping[Direction, Mapping[str, Mapping[str, Any]]] | None = None,
    info: Mapping[str, str] | None = None,
) -> None:
    """Add to `metrics.json`, `config.json` and the model card; the weights stay byte by byte.

    A card that somebody has changed stays too.

    Args:
        path: folder of a language model, of one direction or both.
        scores: by direction, figures by the name of the text they are for.
        info: what to say of the corpus, in all directions: corpus, licence, and anything else.

    Raises:
        ModelFolderError: no language model's folder, or a broken one.
        StorageError: nothing is changed.
    """
    contents = read_folder(path)
    parts = {"": contents}
    if contents.backward is not None:
        parts[f"{BACKWARD}/"] = contents.backward
    files: dict[str, bytes | Path] = dict(contents.files)
    for prefix, part in parts.items():
        for name, content in _with_facts(part, scores or {}, info or {}).items():
            files[prefix + name] = content
    write(path, files, carry=(WORK_FOLDER,))


def _with_facts(
    part: FolderContents,
    scores: Mapping[Direction, Mapping[str, Mapping[str, Any]]],
    info: Mapping[str, str],
) -> dict[str, bytes]:
    config, metrics = read_lm_config(part), read_metrics(part)
    path = part.path / README
    there = path.read_bytes() if path.is_file() else None
    kind = read_tokenizer(part, config.lm.vocab_size).kind
    card = lm_card(config.lm, config.direction, kind, config.info, metrics).encode()
    new = {name: dict(figures) for name, figures in scores.get(config.direction, {}).items()}
    if new:
        metrics[SCORES] = {**metrics.get(SCORES, {}), **new}
    told = LMFolderConfig(direction=config.direction, lm=config.lm, info={**config.info, **info})
    new_card = lm_card(told.lm, told.direction, kind, told.info, metrics).encode()
    return {
        CONFIG: to_json(told.model_dump(mode="json")),
        METRICS: to_json(metrics),
        README: new_card if there in (None, card) else there,  # what somebody wrote stays
    }
