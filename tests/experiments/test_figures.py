from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.experiments.conftest import result
from ulmfit.experiments.figures import (
    COLOURS,
    all_panels,
    figure_paths,
    render,
    stamp,
    write_figures,
)
from ulmfit.experiments.recipes import find_experiments
from ulmfit.experiments.results import Result

SUPERVISED = "ULMFiT, supervised"


def low_shot() -> list[Result]:
    errors = {100: [30.0, 34.0], 1000: [10.0, 11.0], None: [6.0, 6.5]}
    return [
        result(SUPERVISED, seed, error, labels=labels, experiment="figure3")
        for labels, found in errors.items()
        for seed, error in enumerate(found)
    ]


def epochs() -> list[Result]:
    curves = {"full": [[20, 8, 9], [22, 9, 9]], "ULMFiT": [[40, 9, 6], [42, 8, 7]]}
    return [
        result(name, seed, curve[-1], experiment="figure4", curve=curve)
        for name, found in curves.items()
        for seed, curve in enumerate(found)
    ]


def test_every_method_has_one_colour_and_ulmfit_the_same_in_both() -> None:
    for experiment in find_experiments(["figure3", "figure4"]):
        assert {variant.name for variant in experiment.variants} <= COLOURS.keys()
    assert COLOURS["ULMFiT"] == COLOURS["ULMFiT, semi-supervised"]
    assert len(set(COLOURS.values())) == len(COLOURS) - 1


def test_a_low_shot_line_goes_by_the_number_of_labels() -> None:
    (line,) = all_panels(low_shot())["figure3-cpu"]["trec6"]
    assert line.x == (100.0, 1000.0, 4907.0), "all labels are so many"
    assert line.mean == (32.0, 10.5, 6.25)
    assert (np.array(line.low) < line.mean).all() and (np.array(line.high) > line.mean).all()


def test_an_epoch_line_is_the_mean_of_the_seeds() -> None:
    full, own = all_panels(epochs())["figure4-cpu"]["trec6"]
    assert (full.name, full.mean) == ("full", (21.0, 8.5, 9.0))
    assert own.x == (1.0, 2.0, 3.0)


def test_an_epoch_line_of_one_seed_has_the_interval_of_its_rows() -> None:
    full, _ = all_panels([r for r in epochs() if r.seed == 0])["figure4-cpu"]["trec6"]
    assert full.mean == (20.0, 8.0, 9.0)
    assert (np.array(full.high) - full.low > 4).all(), "500 rows"


def test_one_point_is_no_line() -> None:
    assert all_panels([result(SUPERVISED, labels=100, experiment="figure3")]) == {}


@pytest.mark.parametrize("results", [low_shot(), epochs()])
def test_figures_are_drawn_and_say_which_numbers_they_show(
    results: list[Result], tmp_path: Path
) -> None:
    written = write_figures(results, tmp_path / "figures")
    assert written == figure_paths(results, "figures")
    ((name, panels),) = all_panels(results).items()
    svg = (tmp_path / written[name]).read_text("utf-8")
    assert stamp(panels) in svg
    assert (tmp_path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert render(name, panels, "svg").decode() == svg, "the same numbers, the same file"
    changed = [r.model_copy(update={"error": 1.0, "curve": []}) for r in results]
    assert all(stamp(p) != stamp(panels) for p in all_panels(changed).values())
