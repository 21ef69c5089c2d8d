from __future__ import annotations

import pytest

from tests.experiments.conftest import result
from ulmfit.experiments.results import Result
from ulmfit.experiments.verdicts import judge, judge_reference


def seeds(name: str, errors: list[float]) -> list[Result]:
    return [result(name, seed=n, error=error) for n, error in enumerate(errors)]


REFERENCE = seeds("ULMFiT", [5.0, 5.2, 4.8])


@pytest.mark.parametrize(
    ("errors", "paper", "direction", "size"),
    [
        ([7.0, 7.3, 6.7], 7.0, "agrees", "agrees"),
        ([9.0, 9.3, 8.7], 7.0, "agrees", "larger"),
        ([6.0, 6.22, 5.78], 7.0, "agrees", "smaller"),
        ([5.5, 5.72, 5.28], 7.0, "leans so", "smaller"),  # two or three rows of 500
        ([5.0, 6.2, 4.1], 5.3, "leans so", "open"),
        ([5.9, 6.2, 5.4], 9.0, "leans so", "smaller"),
        ([4.0, 4.3, 3.7], 7.0, "opposite", "opposite"),
        ([4.8, 6.0, 3.4], 7.0, "leans opposite", "open"),
        ([4.9, 5.1, 4.7], 9.0, "leans opposite", "smaller"),
        ([7.0, 7.3, 6.7], 5.0, None, "larger"),
    ],
)
def test_direction_and_size(
    errors: list[float], paper: float, direction: str | None, size: str
) -> None:
    found = judge(seeds("full", errors), REFERENCE, paper, 5.0)
    assert (found.direction, found.size) == (direction, size), found


def test_without_numbers_in_the_paper_there_is_a_gap_and_no_verdict() -> None:
    found = judge(seeds("full", [7.0, 7.0]), REFERENCE, None, 5.0)
    assert found.gap == pytest.approx(1.9)
    assert (found.paper_gap, found.direction, found.size) == (None, None, None)


def test_what_was_not_run_is_not_judged() -> None:
    assert judge([], REFERENCE, 7.0, 5.0).gap is None
    assert judge(REFERENCE, [], 7.0, 5.0).gap is None
    assert judge_reference([], 5.0).size is None


@pytest.mark.parametrize(
    ("paper", "size"), [(5.1, "agrees"), (6.5, "open"), (2.5, "larger"), (9.0, "smaller")]
)
def test_the_reference_is_held_against_the_paper_s_error(paper: float, size: str) -> None:
    assert judge_reference(REFERENCE, paper).size == size
    alone = judge_reference(REFERENCE[:1], paper).size
    assert alone == {"open": "agrees"}.get(size, size), "one seed has the interval of its rows"
