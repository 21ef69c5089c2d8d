"""Comparisons carried out: rounds in turns, medians, ranges of ratios, shares of the bound."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import shapes
from benchmarks.comparisons import Comparison, Goal
from benchmarks.processes import Worker

BOUND = "bound"  # name of the worker that measures it
TRAINING = ("lm_train", "classifier_train")  # jobs that are profiled with all threads

Rates = dict[str, list[float]]


def measure(comparison: Comparison, workers: Mapping[str, Worker], repeats: int) -> dict[str, Any]:
    """Run all sides in turns and sum up.

    Args:
        comparison: what to run; sides whose worker is not there are left out.
        workers: by name.
        repeats: rounds.

    Returns:
        JSON value: rates of every side, ratios, shares of the bound, operators.
    """
    sides = {name: side for name, side in comparison.sides.items() if side.worker in workers}
    rates: Rates = {name: [] for name in sides}
    bounds: list[float] = []
    for turn in range(repeats):
        for name, side in sides.items():
            started = time.perf_counter()
            answer = workers[side.worker].ask(side.job, **side.arguments)
            rates[name].append(answer["items"] / answer["seconds"])
            spent = time.perf_counter() - started
            say(f"{comparison.name} {turn + 1}/{repeats} {name}: {rates[name][-1]:,.1f} "
                f"{comparison.unit}/s ({spent:.0f} s)")  # fmt: skip
        if comparison.bound:
            bounds.append(comparison.bound_items / bound_seconds(comparison, workers))
    return {
        "name": comparison.name,
        "what": comparison.what,
        "unit": f"{comparison.unit}/s",
        "sides": {name: summary(row) for name, row in rates.items()},
        "ratios": [ratio(goal, rates) for goal in comparison.goals if is_there(goal, rates)],
        **bound_summary(comparison, rates, bounds),
        **operators(comparison, workers),
    }


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def bound_seconds(comparison: Comparison, workers: Mapping[str, Worker]) -> float:
    """Time of the products alone."""
    return float(workers[BOUND].ask("products", shapes=comparison.bound)["seconds"])


def summary(row: Sequence[float]) -> dict[str, Any]:
    """Median, range and all values."""
    return {"median": statistics.median(row), "range": [min(row), max(row)], "all": list(row)}


def is_there(goal: Goal, rates: Rates) -> bool:
    """Whether both sides ran."""
    return goal.ours in rates and goal.peer in rates


def ratio(goal: Goal, rates: Rates) -> dict[str, Any]:
    """Ours over the peer's, round by round."""
    row = [a / b for a, b in zip(rates[goal.ours], rates[goal.peer], strict=True)]
    found = {"ours": goal.ours, "peer": goal.peer, **summary(row), "at_least": goal.at_least}
    if goal.at_least is not None:
        found["met"] = found["median"] >= goal.at_least
    return found


def bound_summary(comparison: Comparison, rates: Rates, bounds: Sequence[float]) -> dict[str, Any]:
    """What the products alone would allow, and which share of it was reached."""
    if not bounds:
        return {}
    work = shapes.flops(comparison.bound) / comparison.bound_items  # an item
    return {
        "bound": {
            **summary(bounds),
            "gflops_per_item": work / 1e9,
            "gflops_per_second": statistics.median(bounds) * work / 1e9,
        },
        "share_of_bound": {
            name: summary([a / b for a, b in zip(rates[name], bounds, strict=True)])
            for name in comparison.bounded
            if name in rates
        },
    }


def operators(comparison: Comparison, workers: Mapping[str, Worker]) -> dict[str, Any]:
    """Where the time of the profiled side goes, and how fast its matrix products ran.

    `product_rate` is the time of the products alone, measured beside it, over the time of the
    operators that do them: 1 where these run as fast as the products one by one. None for
    predictions, which are profiled in one thread where the products have all.
    """
    side = comparison.sides.get(comparison.profiled or "")
    if side is None or side.worker not in workers:
        return {}
    say(f"{comparison.name}: operators")
    table = workers[side.worker].ask("operators", job=side.job, arguments=side.arguments)
    in_products = table["seconds"] * table["product_share"]
    rate = None
    if in_products and side.job in TRAINING:
        alone = bound_seconds(comparison, workers) / comparison.bound_items * table["items"]
        rate = alone / in_products
    return {"operators": {**table, "product_rate": rate}}
