from __future__ import annotations

import json
import math
import re
import statistics
import threading
from pathlib import Path

import pytest

from tests.experiments.conftest import result
from ulmfit.errors import InputError
from ulmfit.experiments import results
from ulmfit.experiments.results import (
    add_results,
    difference,
    hardware,
    newest,
    read_results,
    shipped_results,
    summarize,
    t_quantile,
)


def test_lines_come_back_as_they_went(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.jsonl"
    first, second = result(seed=0, curve=[9.0, 5.0]), result(seed=1)
    assert read_results(path) == []
    add_results(path, [first])
    add_results(path, [])
    add_results(path, [second])
    assert read_results(path) == [first, second]
    assert len(path.read_text("utf-8").splitlines()) == 2


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    add_results(path, [result()])
    path.write_text(path.read_text("utf-8") + '{"experiment": 1}\n', "utf-8")
    with pytest.raises(
        InputError, match=r"results.jsonl', line 2: experiment: .*Take the line out"
    ):
        read_results(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"error": 4.0}, "error 4.0 is not that of 25 of 500 rows"),
        ({"wrong": 12}, "error 5.0 is not that of 12 of 500 rows"),
        ({"rows": 0}, "rows: Input should be greater than 0"),
    ],
)
def test_a_number_that_was_changed_by_hand_is_named(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "results.jsonl"
    line = json.dumps({**result().model_dump(), **changes})
    path.write_text(f"{result().model_dump_json()}\n\n{line}\n", "utf-8")
    with pytest.raises(InputError, match=f"line 3: .*{message}"):
        read_results(path)


def test_a_torn_last_line_is_named_and_nothing_is_added_to_it(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    add_results(path, [result(seed=0), result(seed=1)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"line 2: the line: Invalid JSON.*Take the line out"):
        read_results(path)


def test_a_last_line_without_an_end_gets_one(tmp_path: Path) -> None:
    """An editor had left it out, and the next result stood on the same line."""
    path = tmp_path / "results.jsonl"
    path.write_text(result(seed=0).model_dump_json() + "\n \n" + result(seed=1).model_dump_json())
    add_results(path, [result(seed=2)])
    assert [line.seed for line in read_results(path)] == [0, 1, 2]


def test_a_results_file_that_is_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: is a directory"):
        read_results(tmp_path)


def test_runs_that_share_a_results_file_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"

    def add(first: int) -> None:
        for seed in range(first, first + 25):
            add_results(path, [result(seed=seed)])

    threads = [threading.Thread(target=add, args=(n,)) for n in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_results(path)) == 50


def test_the_same_work_under_another_name() -> None:
    other = result("full", seed=3, experiment="figure4").cell()
    moved = result(error=7.0).moved(other)
    assert (moved.cell(), moved.error, moved.key) == (other, 7.0, result().key)


def test_mean_and_interval_over_seeds() -> None:
    errors = [4.0, 5.0, 6.0]
    found = summarize([result(seed=n, error=error) for n, error in enumerate(errors)])
    half = 4.303 * statistics.stdev(errors) / math.sqrt(3)
    assert (found.mean, found.least, found.most, found.n) == (5.0, 4.0, 6.0, 3)
    assert found.high - found.mean == pytest.approx(half)
    assert found.low == pytest.approx(5.0 - half)


def test_equal_seeds_are_not_certain() -> None:
    """Two runs of multi-task learning had 86 errors of 545 each: 15.78 [15.78, 15.78]."""
    found = summarize([result(seed=n, error=5.0, rows=500) for n in range(2)])
    half = 12.706 * (100 / 500 / math.sqrt(12)) / math.sqrt(2)
    assert found.high - found.mean == pytest.approx(found.mean - found.low) == pytest.approx(half)


def test_an_interval_ends_where_errors_do() -> None:
    found = summarize([result(seed=n, error=error) for n, error in enumerate([3.0, 97.0])])
    assert (found.low, found.high) == (0.0, 100.0)


def test_one_seed_has_the_interval_of_its_rows() -> None:
    found = summarize([result(error=4.0, rows=500)])
    assert (round(found.low, 1), round(found.high, 1)) == (2.6, 6.1)


@pytest.mark.parametrize(("freedom", "value"), [(1, 12.706), (4, 2.776), (20, 2.086), (60, 2.0)])
def test_points_of_t(freedom: int, value: float) -> None:
    assert t_quantile(freedom) == pytest.approx(value, abs=5e-3)


def test_seeds_are_compared_pair_by_pair() -> None:
    ours = [result("full", seed=n, error=e) for n, e in enumerate([6.0, 9.0, 12.0])]
    theirs = [result(seed=n, error=e) for n, e in enumerate([5.0, 8.0, 11.0])]
    gap, half = difference(ours, theirs)
    assert gap == 1.0
    rows = 1.96 * math.sqrt(0.01 * 0.99 / 500)
    step = 4.303 * math.sqrt(2 / 12 / 3) / 500
    assert half == pytest.approx(100 * math.hypot(rows, step)), "other rows would not say the same"


def test_a_gap_is_never_certain_for_want_of_a_spread() -> None:
    ours, theirs = ([result(n, seed=s, error=5.0) for s in range(2)] for n in ("full", "ULMFiT"))
    gap, half = difference(ours, theirs)
    assert gap == 0.0
    assert half > 1.96 * 100 * 0.5 / 500


def test_one_seed_is_compared_by_its_rows() -> None:
    gap, half = difference([result("full", error=10.0)], [result(error=5.0)])
    assert gap == 5.0
    assert half == pytest.approx(196 * math.sqrt(0.1 * 0.9 / 500 + 0.05 * 0.95 / 500))


def test_only_the_last_recipe_counts_and_of_a_seed_the_last_line() -> None:
    lines = [
        result(seed=0, error=9.0, recipe="old"),
        result(seed=1, error=9.0, recipe="old"),
        result(seed=0, error=5.0),
        result(seed=0, error=6.0),
        result("full"),
    ]
    found = newest(lines)
    assert [r.error for r in found["table7", "trec6", "ULMFiT", None, "cpu"]] == [6.0]
    assert len(found) == 2


def test_where_a_result_comes_from() -> None:
    assert hardware(2, None, "float32").endswith(", 2 threads, float32")
    assert hardware(1, "some GPU", "bf16") == "some GPU, bf16"
    assert re.fullmatch(r"[0-9a-f]{12}\+?|version .*", results.commit())


def test_the_committed_results_can_be_read() -> None:
    found = shipped_results()
    assert all(line.command.startswith("ulmfit reproduce ") for line in found)
    assert all("/" not in line.command for line in found), "no path of somebody's machine"
