from __future__ import annotations

from tests.experiments.conftest import result
from ulmfit.experiments.recipes import find_experiments
from ulmfit.experiments.tables import experiment_tables, results_page

LAST = "freez + discr + stlr"


def test_rows_stand_beside_the_paper_s() -> None:
    (table7,) = find_experiments(["table7"])
    lines = [result(LAST, n, e) for n, e in enumerate([5.0, 5.4])] + [
        result("full", n, e) for n, e in enumerate([7.0, 7.2])
    ]
    shown = experiment_tables(table7, lines, "cpu").splitlines()
    full = next(line for line in shown if line.startswith("| full |"))
    assert "| 6.86 | 7.10 [5.83, 8.37] | 7.00 to 7.20 | 2 |" in full
    assert "| +1.17 | +1.90 ± 1.75 | agrees | agrees |" in full
    assert any(line.startswith(f"| {LAST} (*ref*) | 5.69 | 5.20 [") for line in shown)
    assert any(line.startswith("| last | 16.09 | not run |") for line in shown)
    assert "**TREC-6**, error on 500 held-out training rows:" in shown
    assert "of a processor, 1 thread" in shown[-1]
    read = table7.findings["cpu"].splitlines()  # what people wrote tells of other data sets too
    made = [line for line in shown if line not in read]
    assert "IMDb" not in "\n".join(made), "nothing was run on it"


def test_rows_of_others_are_quoted() -> None:
    (table2,) = find_experiments(["table2"])
    shown = experiment_tables(table2, [result(experiment="table2")], "cpu")
    assert "| CoVe (McCann et al. 2017) | 4.20 | – |" in shown
    assert "oh-LSTM" not in shown, "has no number for TREC-6"


def test_low_shot_results_go_by_labels() -> None:
    (figure3,) = find_experiments(["figure3"])
    lines = [
        result("from scratch", labels=100, error=40.0, experiment="figure3"),
        result("from scratch", labels=2000, error=20.0, experiment="figure3"),
        result("ULMFiT, supervised", labels=None, error=5.0, experiment="figure3"),
    ]
    shown = experiment_tables(figure3, lines, "cpu").splitlines()
    assert "| row | 100 labels | 2,000 labels | all 4,907 |" in shown
    scratch = next(line for line in shown if line.startswith("| from scratch |"))
    assert scratch.startswith("| from scratch | 40.0 [")
    assert scratch.endswith("n = 1 | – |")


def test_a_table_shows_the_draw_that_the_scale_declares() -> None:
    (table7,) = find_experiments(["table7"])
    lines = [
        result(LAST, dataset="imdb", labels=labels, error=error, rows=2500)
        for labels, error in [(500, 15.0)]
    ]
    lines.insert(0, result(LAST, dataset="imdb", error=7.0, rows=250))  # of an earlier declaration
    shown = experiment_tables(table7, lines, "cpu")
    assert f"| {LAST} (*ref*) | 5.00 | 15.00 [" in shown
    assert "7.00" not in shown
    assert "**IMDb**, error on 2,500 held-out training rows (" in shown
    assert "; trained on balanced draws of 500 labels; LM fine-tuning reads 3,000,000 " in shown
    assert "<sub>1 cell, " in shown
    assert "| Fine-tuning the classifier | IMDb | 1 of 10 |" in results_page(lines)


def test_the_page_has_an_overview_and_leaves_smoke_out() -> None:
    lines = [result(LAST), result("full", error=9.0), result(LAST, scale="smoke")]
    page = results_page(lines, {"figure3-cpu": "figures/figure3-cpu.svg"})
    assert "## Scale cpu" in page
    assert "smoke" not in page
    assert "| Fine-tuning the classifier | TREC-6 | 2 of 10 | 1 | 1 of 1 |" in page
    assert "![" not in page, "figure 3 has no results"


def test_without_results_the_page_says_so() -> None:
    assert results_page([]).endswith("There are none yet.\n")


def test_nothing_is_shown_of_what_was_not_run() -> None:
    (table4,) = find_experiments(["table4"])
    assert experiment_tables(table4, [result(LAST)], "cpu") == ""
