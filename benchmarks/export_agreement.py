"""How far 8 bits and exported models are from the model in torch, on a labelled data set.

For each way to run it: the greatest and the mean difference of a probability, the share of texts
with the same label, the error, and of exported ones the bytes of the folder. These are also asked
for each text alone: in int8 the runtime's scales depend on the batch.

    python -m benchmarks.export_agreement MODEL name:trec6

Writes benchmarks/results/<date>-export-agreement-<data>.json.
"""

from __future__ import annotations

import argparse
import contextlib
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
from ulmfit.errors import SettingsError
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


def table_row(
    predictor: Predictor, dataset: Dataset, expected: np.ndarray, found: np.ndarray
) -> dict[str, Any]:
    """What is said of probabilities for the first texts, beside the expected ones."""
    first = dataset.subset(range(len(found)))
    expected = expected[: len(found)]
    apart = np.abs(found - expected).max(axis=1)
    return {
        **vars(compare(predictor, expected, found)),
        "quantiles": {str(q): float(np.quantile(apart, q)) for q in (0.5, 0.9, 0.99, 1.0)},
        "error": error(predictor, first, found),
        "error_torch": error(predictor, first, expected),
    }


def exported(
    predictor: Predictor, dataset: Dataset, expected: np.ndarray, precision: Any, alone: int
) -> dict[str, Any]:
    """One precision, exported, loaded and asked for all texts, and for some one by one."""
    with tempfile.TemporaryDirectory() as folder:
        written = export_onnx(predictor, Path(folder) / precision, precision=precision)
        classifier = OnnxClassifier.load(written.path, threads=torch.get_num_threads())
        tables = {"together": classifier.predict_proba(dataset.texts)}
        if alone:
            answers = [classifier.predict_proba([text]) for text in dataset.texts[:alone]]
            tables["alone"] = np.concatenate(answers)
    rows = {name: table_row(predictor, dataset, expected, table) for name, table in tables.items()}
    apart_by_batch = None
    if alone:
        apart_by_batch = float(np.abs(tables["together"][:alone] - tables["alone"]).max())
    return {
        "bytes": sum(written.files.values()),
        "check_on_export": vars(written.agreement),
        **rows,
        "together_from_alone": apart_by_batch,
        "reached": all(
            row["largest"] <= LIMIT and row["same_label"] >= SAME for row in rows.values()
        ),
    }


def main() -> None:
    """Measure both precisions and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("data", help="labelled texts: a file, or name:trec6")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--limit", type=int, help="only the first so many texts")
    parser.add_argument("--alone", type=int, help="ask for so many one by one (default: all)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    predictor = Predictor.load(options.model, "cpu")
    dataset = load_dataset(options.data, split="test", data_dir=options.data_dir)
    if options.limit is not None:
        dataset = dataset.subset(range(min(options.limit, len(dataset))))
    expected = predictor.predict_proba(dataset.texts)
    alone = len(dataset) if options.alone is None else options.alone
    results: dict[str, Any] = {}
    with contextlib.suppress(SettingsError):  # there are processors whose 8-bit products overflow
        found = Predictor.load(options.model, "cpu", "int8").predict_proba(dataset.texts)
        results["torch int8"] = {"together": table_row(predictor, dataset, expected, found)}
    for precision in ("fp32", "int8"):
        results[precision] = exported(predictor, dataset, expected, precision, alone)
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
    data = dataset.name.split()[0].removeprefix("name:")
    path = options.out / f"{date}-export-agreement-{data}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    for way, result in results.items():
        together = result["together"]
        print(
            f"{way}: at most {together['largest']:.2g} apart, {together['mean']:.2g} on average, "
            f"same label {together['same_label']:.2%}, error {together['error']:.2%} "
            f"(float32 {together['error_torch']:.2%})"
        )
    print(f"written: {path}")


if __name__ == "__main__":
    main()
