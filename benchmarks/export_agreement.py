"""How far exported models are from the model in torch, on a labelled data set.

For each precision: the greatest and the mean difference of a probability, the share of texts with
the same label, the error, and the bytes of the folder. Each text is also asked for alone: in int8
the runtime's scales depend on the batch.

    python -m benchmarks.export_agreement MODEL name:trec6

Writes benchmarks/results/<date>-export-agreement.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from benchmarks.machine import ROOT, commit, hardware
from ulmfit.apps.export import compare, export_onnx
from ulmfit.apps.onnx_runtime import OnnxClassifier
from ulmfit.apps.predictor import Predictor
from ulmfit.data.datasets import Dataset, load_dataset
from ulmfit.train.metrics import evaluate_labels

# The criterion of the project: every text within so much of probability, so many labels the same.
LIMIT, SAME = 0.02, 0.99


def described(predictor: Predictor) -> dict[str, Any]:
    """Sizes of the model, and how it was trained."""
    first = predictor.members[0]
    return {
        "sizes": first.config.model_dump(),
        "directions": [member.direction for member in predictor.members],
        "bytes_fp32": 4 * len(predictor.members) * first.config.weight_count(),
        "settings": first.info.get("settings"),
    }


def error(predictor: Predictor, dataset: Dataset, probabilities: np.ndarray) -> float:
    """Share of texts that get a wrong label."""
    assert dataset.labels is not None
    return evaluate_labels(
        dataset.labels,
        predictor.decide(probabilities),
        predictor.labels,
        multi_label=predictor.multi_label,
        name=dataset.name,
    ).error


def measure(predictor: Predictor, dataset: Dataset, precision: Any, folder: Path) -> dict[str, Any]:
    """One precision, exported, loaded and asked."""
    exported = export_onnx(predictor, folder / precision, precision=precision)
    classifier = OnnxClassifier.load(exported.path, threads=1)
    expected = predictor.predict_proba(dataset.texts)
    together = classifier.predict_proba(dataset.texts)
    alone = np.concatenate([classifier.predict_proba([text]) for text in dataset.texts])
    found = {"together": together, "alone": alone}
    agreement = {name: compare(predictor, expected, table) for name, table in found.items()}
    apart = np.abs(together - expected).max(axis=1)
    return {
        "bytes": sum(exported.files.values()),
        "check_on_export": vars(exported.agreement),
        **{name: vars(value) for name, value in agreement.items()},
        "difference_quantiles": {
            str(q): float(np.quantile(apart, q)) for q in (0.5, 0.9, 0.99, 1.0)
        },
        "together_from_alone": float(np.abs(together - alone).max()),
        "error": error(predictor, dataset, together),
        "error_torch": error(predictor, dataset, expected),
        "reached": all(
            value.largest <= LIMIT and value.same_label >= SAME for value in agreement.values()
        ),
    }


def main() -> None:
    """Measure both precisions and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("data", help="labelled texts: a file, or name:trec6")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--limit", type=int, help="only the first so many texts")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    predictor = Predictor.load(options.model, "cpu")
    dataset = load_dataset(options.data, split="test", data_dir=options.data_dir)
    if options.limit is not None:
        dataset = dataset.subset(range(min(options.limit, len(dataset))))
    with tempfile.TemporaryDirectory() as folder:
        results = {
            precision: measure(predictor, dataset, precision, Path(folder))
            for precision in ("fp32", "int8")
        }
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    record = {
        "command": f"python -m benchmarks.export_agreement MODEL {options.data}",
        "date": date,
        "commit": commit(),
        "hardware": hardware(),
        "versions": {"onnxruntime": onnxruntime.__version__, "torch": torch.__version__},
        "model": described(predictor),
        "data": {"name": dataset.name, "texts": len(dataset)},
        "results": results,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{date}-export-agreement.json"
    path.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    for precision, result in results.items():
        together = result["together"]
        print(
            f"{precision}: at most {together['largest']:.2g} apart, {together['mean']:.2g} on "
            f"average, same label {together['same_label']:.2%}, error {result['error']:.2%} "
            f"(torch {result['error_torch']:.2%}), {result['bytes'] / 1e6:.1f} MB"
        )
    print(f"written: {path}")


if __name__ == "__main__":
    main()
