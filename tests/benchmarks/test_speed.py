"""The measuring itself: tiny sizes, this package in the place of the peers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import shapes
from benchmarks.comparisons import Goal
from benchmarks.measuring import ratio
from benchmarks.render import render
from benchmarks.speed import NAMES
from ulmfit.config import LMConfig

ROOT = Path(__file__).resolve().parents[2]


def run_module(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_every_comparison_runs_and_fills_the_results_file(tmp_path: Path) -> None:
    done = run_module("benchmarks.speed", "--smoke", "--repeats", "1", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    results = json.loads(path.read_text("utf-8"))
    assert [found["name"] for found in results["comparisons"]] == list(NAMES)
    assert all(answer["logits_differ_by"] == 0 for answer in results["answers"])
    assert all(answer["logits_spread"] > 0.01 for answer in results["answers"])
    for found in results["comparisons"]:
        rates = {name: side["all"] for name, side in found["sides"].items()}
        assert all(rate > 0 for row in rates.values() for rate in row)
        first = found["ratios"][0]
        assert first["median"] == rates[first["ours"]][0] / rates[first["peer"]][0]
        if found["name"] != "tokenise":
            assert sum(row["share"] for row in found["operators"]["rows"]) == pytest.approx(1)
            assert found["operators"]["product_share"] > 0
    page = (tmp_path / "RESULTS.md").read_text("utf-8")
    assert page == render(path)


@pytest.mark.slow
def test_cost_curves_are_measured_and_drawn(tmp_path: Path) -> None:
    command = ("benchmarks.cost_curves", "--smoke", "--out", str(tmp_path), "--docs", str(tmp_path))
    done = run_module(*command)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "performance.md").read_text("utf-8")
    assert "classify one document" in page
    assert (tmp_path / "figures" / "cost-curves.svg").read_text("utf-8").startswith("<?xml")


@pytest.mark.slow
def test_without_an_accelerator_its_script_says_so() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is an accelerator here")
    done = run_module("benchmarks.gpu")
    assert done.returncode == 2
    assert done.stderr.strip().startswith("no CUDA device here: nothing was measured")


def test_other_machines_have_their_ratios_below(tmp_path: Path) -> None:
    shipped = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    ours = next(path for path in shipped if "comparisons" in json.loads(path.read_text("utf-8")))
    results = json.loads(ours.read_text("utf-8"))
    path = tmp_path / "2030-01-01-here.json"
    path.write_text(json.dumps(results), "utf-8")
    assert "another machine" not in render(path)
    for date in ("2030-01-02", "2030-01-03"):
        other = {**results, "date": date, "hardware": {**results["hardware"], "cpu": "Another"}}
        (tmp_path / f"{date}-there.json").write_text(json.dumps(other), "utf-8")
    (tmp_path / "service.json").write_text("{}", "utf-8")
    page = render(path)
    assert page.count("## Ratios on another machine") == 1
    assert "2030-01-03, Another (" in page and "2030-01-02" not in page
    # One name, another processor: clouds give several the same.
    less = {**results["hardware"], "instructions": ["avx2"]}
    (tmp_path / "2030-01-04-less.json").write_text(json.dumps({**results, "hardware": less}))
    assert f"{less['cpu']} (avx2), " in render(path)


def test_unknown_comparison_is_refused() -> None:
    done = run_module("benchmarks.speed", "lm-trian")
    assert done.returncode == 2
    assert "no comparison lm-trian; there are lm-train," in done.stderr


def test_ratios_are_of_rounds_and_compared_with_their_goal() -> None:
    rates = {"ours": [4.0, 9.0, 6.0], "peer": [2.0, 3.0, 3.0]}
    found = ratio(Goal("ours", "peer", 2.5), rates)
    assert found["all"] == [2.0, 3.0, 2.0]
    assert (found["median"], found["range"], found["met"]) == (2.0, [2.0, 3.0], False)
    assert "met" not in ratio(Goal("ours", "peer"), rates)


def test_products_of_a_step_counted_by_hand() -> None:
    config = LMConfig(vocab_size=10, emb_size=2, hidden_size=3, n_layers=1)
    rows, steps = 5, 7
    forward = shapes.encoder(config, rows, steps, training=False)
    # one layer of 2 units: 4 x 2 gates from 2 inputs and from 2 states
    assert shapes.flops(forward) == 2 * rows * steps * (8 * 2 + 8 * 2)
    training = shapes.encoder(config, rows, steps, training=True)
    assert shapes.flops(training) == 3 * shapes.flops(forward)
    assert shapes.flops(shapes.softmax(config, 35)) == 3 * 2 * 35 * 2 * 10
    assert shapes.weight_bytes(config) == 4 * (8 * 2 + 8 * 2)
