"""A trained classifier as a folder that needs no torch: ONNX graphs, tokenizer, settings.

::

    config.json       labels, sizes, how the check went
    forward.onnx      one graph for each direction (see `onnx_graph`)
    backward.onnx
    tokenizer.json    from text to token ids
    ngrams.safetensors  the member that counts words, where there is one (see `stages.ngrams`)
    README.md         how to use it, from any language

The graphs are held against torch before anything is written.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.apps.decisions import THRESHOLD
from ulmfit.apps.export_readme import export_readme
from ulmfit.apps.onnx_builder import require_onnx
from ulmfit.apps.onnx_folder import KIND
from ulmfit.apps.onnx_graph import Precision, classifier_graph, state_sizes
from ulmfit.apps.onnx_runtime import OnnxClassifier
from ulmfit.apps.predictor import Predictor
from ulmfit.artifacts import (
    CONFIG,
    NGRAMS,
    README,
    TOKENIZER,
    FolderContents,
    check_target,
    read_config,
    write_folder,
)
from ulmfit.data.datasets import load_dataset
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import ExportError, ModelFolderError, SettingsError
from ulmfit.stages.lm_folder import to_json

Probabilities = NDArray[np.float32]

# float32 sums in another order: seen are differences of 1e-6.
LIMIT_FP32 = 1e-4
# Of a text that lies between two classes eight bits may decide otherwise; of most they may not.
LIMIT_INT8 = 0.02

_QUESTIONS, _FROM_VOCABULARY = 64, 16  # texts of the check
_VOCABULARY_TEXT = 40  # tokens


@dataclass(frozen=True)
class Agreement:
    """How far the exported classifier is from the one that it was made from.

    Attributes:
        texts: how many were answered by both.
        largest: greatest difference of a probability.
        mean: mean over the texts of each one's greatest difference.
        same_label: share of the texts whose label, or labels, are the same.
    """

    texts: int
    largest: float
    mean: float
    same_label: float


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the folder.
        precision: fp32 or int8.
        files: bytes of each file.
        agreement: with torch, as written.
    """

    path: Path
    precision: Precision
    files: dict[str, int]
    agreement: Agreement


def export_onnx(predictor: Predictor, out: Path, *, precision: Precision = "fp32") -> Exported:
    """Write a classifier as a folder that `OnnxClassifier` and any ONNX Runtime can use.

    Args:
        predictor: the classifier, both directions or one.
        out: the folder; an earlier export there is replaced.
        precision: fp32; or int8, a quarter of the size and faster, with answers that differ a
            little (`Exported.agreement` says how much).

    Raises:
        ExportError: the graphs answer otherwise than torch; nothing is written.
        SettingsError: `out` is a file, or a folder of other things; or onnx or onnxruntime is not
            installed.
        StorageError: the disk is full or the place cannot be written to.
    """
    require_onnx()
    check_place(out)
    texts = check_texts(predictor.members[0].tokenizer)
    expected = predictor.predict_proba(texts)
    agreement = Agreement(0, 0.0, 0.0, 1.0)
    files: dict[str, bytes] = {}
    # int8 can only be near: whether the graph itself is right shows in fp32
    for wanted in dict.fromkeys(("fp32", precision)):
        files = _files(predictor, wanted)
        contents = FolderContents(out, _settings(predictor, wanted), files)
        exported = OnnxClassifier(contents, threads=1)
        agreement = compare(predictor, expected, exported.predict_proba(texts))
        _require_agreement(agreement, wanted)
    settings = {**_settings(predictor, precision), "agreement": asdict(agreement)}
    readme = export_readme(settings).encode()
    files |= {CONFIG: to_json(settings), README: readme}
    write_folder(out, files, needed=(CONFIG, TOKENIZER))
    sizes = {name: (out / name).stat().st_size for name in sorted(files)}
    return Exported(out, precision, sizes, agreement)


def compare(predictor: Predictor, expected: Probabilities, found: Probabilities) -> Agreement:
    """How far the probabilities of an exported classifier are from those of its origin, (N, C)."""
    apart = np.abs(expected - found).max(axis=1)
    pairs = zip(predictor.decide(expected), predictor.decide(found), strict=True)
    same = [one == other for one, other in pairs]
    return Agreement(len(same), float(apart.max()), float(apart.mean()), float(np.mean(same)))


def check_texts(tokenizer: Tokenizer) -> list[str]:
    """What an export is checked on: real questions, long texts, the model's own words, nothing.

    The questions are those of the data set in the package. A model of another language or field
    knows few of their words, so there are also texts drawn from its own vocabulary.
    """
    questions = load_dataset("name:trec6", split="test").texts[:_QUESTIONS]
    draw = random.Random(0)  # noqa: S311 (no secret)
    drawn = [
        tokenizer.decode(draw.choices(range(tokenizer.vocab_size), k=_VOCABULARY_TEXT))
        for _ in range(_FROM_VOCABULARY)
    ]
    # longer than several chunks, in a batch with shorter ones; and alone in a long chunk
    return [*questions, *drawn, " ".join(questions), " ".join([*questions, *drawn]), "", "Who"]


def check_place(out: Path) -> None:
    """An export may replace an earlier one, but never the model that it is made from."""
    try:
        kind = read_config(out).get("kind")
    except ModelFolderError:
        check_target(out)
        return
    if kind != KIND:
        raise SettingsError(
            f"folder '{out}' holds a model of kind {kind!r}",
            expected="a new or empty folder, or an earlier export",
            hint="Choose another folder; nothing was changed.",
        )


def _require_agreement(agreement: Agreement, precision: Precision) -> None:
    found = agreement.largest if precision == "fp32" else agreement.mean
    limit = LIMIT_FP32 if precision == "fp32" else LIMIT_INT8
    if found <= limit:  # false for NaN too
        return
    what = "at most" if precision == "fp32" else "on average"
    raise ExportError(
        f"probabilities of the exported {precision} model differ by {found:.2g} {what} from those "
        f"in torch, on {agreement.texts} texts",
        expected=f"up to {limit:g}",
        hint="Export without --int8."
        if precision == "int8"
        else "Nothing was written. Please report it, with the versions of onnxruntime and torch.",
    )


def _files(predictor: Predictor, precision: Precision) -> dict[str, bytes]:
    """The graphs and the tokenizer."""
    graphs = {
        f"{member.direction}.onnx": classifier_graph(
            member.config,
            {name: value.numpy() for name, value in member.weights.items()},
            precision,
        )
        for member in predictor.members
    }
    tokenizer = predictor.members[0].tokenizer.to_json().encode()
    ngrams = predictor.ngrams
    counted = {NGRAMS: ngrams.to_bytes()} if ngrams is not None else {}
    return {**graphs, **counted, TOKENIZER: tokenizer}


def _settings(predictor: Predictor, precision: Precision) -> dict[str, Any]:
    """`config.json`: as the model's own, where it says the same."""
    first = predictor.members[0]
    return {
        "kind": KIND,
        "precision": precision,
        "directions": [member.direction for member in predictor.members],
        "classifier": first.config.model_dump(mode="json"),
        "labels": list(first.labels),
        "label_form": first.label_form.model_dump(mode="json"),
        "calibration": first.calibration.model_dump(mode="json"),
        "threshold": THRESHOLD,
        "state": state_sizes(first.config),
        "ngrams": None if first.ngram_config is None else first.ngram_config.model_dump(),
    }
