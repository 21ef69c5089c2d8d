"""What is measured against what: every comparison with its sides, goals and bound."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import shapes
from benchmarks.materials import Sizes, mean_length
from benchmarks.shapes import Shape
from ulmfit.config import LMConfig
from ulmfit.settings import FinetuneLMSettings

CHUNK = 70  # tokens that documents are encoded by
BULK_ROWS = 234  # documents of a chunk in bulk prediction: 16,384 tokens


@dataclass(frozen=True)
class Side:
    """One of those who do the same work.

    Attributes:
        worker: `ours`, `fastai`, `minilm`, `fasttext`.
        job: what it is asked for.
        arguments: of the job.
    """

    worker: str
    job: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Goal:
    """`ours` against `peer`, both names of sides; `at_least` as a ratio, None for orientation."""

    ours: str
    peer: str
    at_least: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Sides that run in turns.

    Attributes:
        name: in results.
        what: in words.
        unit: of the work.
        sides: by name, in the order in which they run.
        goals: ratios to form.
        bound: products that `bound_items` of the work need; empty for none.
        bound_items: as said.
        bounded: sides whose share of the bound is given.
        profiled: side whose operators are listed, None for none.
    """

    name: str
    what: str
    unit: str
    sides: dict[str, Side]
    goals: tuple[Goal, ...]
    bound: list[Shape] = field(default_factory=list)
    bound_items: float = 0.0
    bounded: tuple[str, ...] = ()
    profiled: str | None = None


def all_comparisons(
    folder: Path, sizes: Sizes, vocab_size: int, modes: list[str]
) -> list[Comparison]:
    """Every comparison.

    Args:
        folder: material.
        sizes: of the work.
        vocab_size: words that the material came to.
        modes: ways in which ours predicts: `float32`, `int8`, `exported` (8 bits in ONNX Runtime).
    """
    config = {
        name: LMConfig(
            vocab_size=vocab_size,
            emb_size=size.emb_size,
            hidden_size=size.hidden_size,
            n_layers=size.n_layers,
        )
        for name, size in sizes.models.items()
    }
    return [
        lm_training(config["paper"], sizes),
        classifier_training("trec6", config["paper"], sizes.trec_batch, 1, 4.0, folder),
        classifier_training("imdb", config["paper"], sizes.imdb_batch, 0, 1.5, folder),
        bulk_prediction(config["paper"], folder, sizes, modes),
        one_text(
            "predict-one-315", "one", sizes.calls, sizes.one_tokens, config, (5.0, 15.0), modes
        ),
        one_text("predict-one-trec", "short", sizes.short_calls, 12, config, (20.0, 20.0), modes),
        tokenising(sizes),
    ]


def lm_training(config: LMConfig, sizes: Sizes) -> Comparison:
    """Language model fine-tuning, in tokens."""
    settings = FinetuneLMSettings()
    common = {"size": "paper", "batch": sizes.lm_batch, "steps": sizes.lm_steps}
    products = shapes.encoder(config, sizes.lm_batch, settings.bptt, training=True)
    tokens = sizes.lm_batch * settings.bptt
    samples = settings.softmax_samples or config.vocab_size
    products += shapes.softmax(config, tokens, min(samples + tokens // 4, config.vocab_size))
    return Comparison(
        "lm-train",
        f"fine-tune the language model, batch {sizes.lm_batch} x {settings.bptt} (fastai x 72)",
        "tokens",
        {
            "fastai": Side("fastai", "lm_train", common),
            "ours": Side("ours", "lm_train", {**common, "softmax": "sampled"}),
            "ours, float32": Side("ours", "lm_train", {**common, "precision": "float32"}),
            "ours, float32, full softmax": Side(
                "ours", "lm_train", {**common, "softmax": "full", "precision": "float32"}
            ),
        },
        (
            Goal("ours", "fastai", 2.0),
            Goal("ours, float32", "fastai"),
            Goal("ours, float32, full softmax", "fastai"),
        ),
        products,
        tokens,
        ("ours, float32",),
        "ours, float32",
    )


def classifier_training(
    data: str, config: LMConfig, batch: int, skipped: int, at_least: float, folder: Path
) -> Comparison:
    """Classifier fine-tuning with all layers, in documents."""
    length = mean_length(folder / f"{data}.npz")
    common = {"data": data, "size": "paper", "batch": batch, "skipped": skipped}
    return Comparison(
        f"classifier-train-{data}",
        f"fine-tune the classifier, all layers, batch {batch}, {length} tokens on average",
        "documents",
        {
            "fastai": Side("fastai", "classifier_train", common),
            "ours": Side("ours", "classifier_train", common),
            "ours, float32": Side("ours", "classifier_train", {**common, "precision": "float32"}),
            "fastText": Side("fasttext", "classifier_train", {"data": data}),
        },
        (
            Goal("ours", "fastai", at_least),
            Goal("ours, float32", "fastai"),
            Goal("ours", "fastText"),
        ),
        shapes.encoder(config, batch, length, training=True),
        batch,
        ("ours, float32",),
        "ours, float32",
    )


def bulk_prediction(config: LMConfig, folder: Path, sizes: Sizes, modes: list[str]) -> Comparison:
    """Many reviews at once, from text."""
    length = mean_length(folder / "reviews.npz")
    goals = {"float32": 1.3, "int8": 3.0, "exported": 3.0}
    ours = {
        f"ours, {mode}": Side("ours", "predict_bulk", {"size": "paper", "mode": mode})
        for mode in modes
    }
    small = {
        f"ours, small, {mode}": Side("ours", "predict_bulk", {"size": "small", "mode": mode})
        for mode in modes
    }
    rows = min(BULK_ROWS, sizes.bulk)
    return Comparison(
        "predict-imdb",
        f"classify {sizes.bulk} IMDb reviews, {length} tokens on average",
        "documents",
        {
            "fastai": Side("fastai", "predict_bulk", {"size": "paper"}),
            **ours,
            **small,
            "MiniLM": Side("minilm", "predict_bulk"),
            "fastText": Side("fasttext", "predict_bulk"),
        },
        (
            *(Goal(f"ours, {mode}", "fastai", goals.get(mode)) for mode in modes),
            *(Goal(f"ours, small, {mode}", "fastai") for mode in modes),
            Goal("ours, float32", "MiniLM"),
            Goal("ours, float32", "fastText"),
        ),
        shapes.encoder(config, rows, length, training=False),
        rows,
        ("ours, float32",),
        "ours, float32",
    )


def one_text(
    name: str,
    texts: str,
    calls: int,
    tokens: int,
    config: dict[str, LMConfig],
    goals: tuple[float, float],
    modes: list[str],
) -> Comparison:
    """One call after another with one text each."""
    common = {"texts": texts, "calls": calls}
    sides = {
        "fastai": Side("fastai", "predict_one", {**common, "size": "paper"}),
        "fastai, small": Side("fastai", "predict_one", {**common, "size": "small"}),
        "MiniLM": Side("minilm", "predict_one", common),
    }
    found = []
    for mode in modes:
        for size, label in (("paper", "ours"), ("small", "ours, small")):
            side = f"{label}, {mode}"
            sides[side] = Side("ours", "predict_one", {**common, "size": size, "mode": mode})
        found.append(Goal(f"ours, {mode}", "fastai", goals[0]))
        found.append(Goal(f"ours, small, {mode}", "fastai", goals[1]))
        found.append(Goal(f"ours, small, {mode}", "fastai, small"))
    return Comparison(
        name,
        f"one text of about {tokens} tokens a call",
        "calls",
        sides,
        (*found, Goal("ours, float32", "MiniLM")),
        shapes.encoder(config["paper"], 1, tokens, training=False),
        1,
        ("ours, float32",),
        "ours, float32",
    )


def tokenising(sizes: Sizes) -> Comparison:
    """All text rules, on one core, in processor time."""
    slow, fast = max(1, sizes.tokenised // 50), sizes.tokenised
    return Comparison(
        "tokenise",
        f"tokenise {fast:,} IMDb reviews with all rules, per second of processor time",
        "documents",
        {
            "fastai": Side("fastai", "tokenise", {"texts": slow}),
            "ours": Side("ours-1", "tokenise", {"texts": fast}),
            "ours, text of a kind seen before": Side(
                "ours-1", "tokenise", {"texts": fast, "fresh": False}
            ),
        },
        (Goal("ours", "fastai", 10.0), Goal("ours, text of a kind seen before", "fastai")),
    )
