from __future__ import annotations

from pathlib import Path

import pytest

from ulmfit.cli.labelled import Parts
from ulmfit.cli.outcomes import (
    Outcome,
    calibration_text,
    data_record,
    example_text,
    outcome_text,
    say_next,
    score_record,
)
from ulmfit.data.datasets import Dataset
from ulmfit.train.metrics import evaluate_labels
from ulmfit.train.reliability import Reliability

DATA = Dataset(["one", "two", "three", "four"], ["a", "b", "a", "b"])
RIGHT = evaluate_labels(["a", "b", "a", "b"], ["a", "b", "a", "b"], ["a", "b"])
WRONG = evaluate_labels(["a", "b", "a", "b"], ["b", "b", "a", "b"], ["a", "b"])


def test_errors_stand_one_below_the_other() -> None:
    parts = Parts(DATA, DATA, "test.csv")
    assert outcome_text(Outcome(RIGHT, WRONG), parts) == (
        "Test error on 4 rows, test.csv:\n"
        "  this model                      0.0 %   95 % interval 0.0 to 49.0 %\n"
        "  TF-IDF + logistic regression   25.0 %   95 % interval 4.6 to 69.9 %"
    )
    assert outcome_text(Outcome(WRONG, None), parts).splitlines()[1:] == [
        "  this model   25.0 %   95 % interval 4.6 to 69.9 %"
    ]


def test_nothing_to_test_on_is_said() -> None:
    text = outcome_text(Outcome(None, None), Parts(DATA, None, "nothing"))
    assert text == "Not tested: --test-fraction 0 left nothing to test on."


def test_scores_for_the_folder_are_flat() -> None:
    record = score_record(Outcome(WRONG, None))
    assert record["test_error"] == 0.25
    assert record["test_rows"] == 4
    assert len(record["test_error_interval"]) == 2
    assert score_record(Outcome(None, None)) == {}


@pytest.mark.parametrize(
    ("texts", "example"),
    [
        (["x" * 60, "a text of a good length"], "a text of a good length"),
        (["short", "words " * 20], "short"),
        (["words " * 20], "words words words words words words words words w…"),
    ],
)
def test_the_example_is_a_text_of_the_data(texts: list[str], example: str) -> None:
    assert example_text(texts) == example


def test_the_card_learns_what_the_data_were_but_not_where_they_lay() -> None:
    train = Dataset(["one", "two words", "three"], ["a", "b", "a"], name="/home/me/reviews.csv")
    assert data_record(Parts(train, DATA, "held out of x")) == {
        "name": "reviews.csv",
        "train_rows": 3,
        "test_rows": 4,
        "held_out": True,
        "median_words": 1,
        "labels": {"a": 2, "b": 1},
    }
    split = Dataset(["one"], ["a"], name="/home/me/reviews/train")
    assert data_record(Parts(split, None, "nothing"))["name"] == "reviews/train"
    labels: list[tuple[str, ...]] = [("a", "b")]
    several = Dataset(["x"], labels, multi_label=True)
    found = data_record(Parts(several, None, "nothing"))
    assert (found["labels"], found["test_rows"], found["held_out"]) == ({"a": 1, "b": 1}, 0, False)


def test_next_steps_are_commands() -> None:
    lines = say_next(Path("m"), None, Path("m/report.html")).splitlines()
    assert lines[:2] == ["Model:  m", "Report: m/report.html"]
    lines = say_next(Path("my model"), "it's good").splitlines()
    assert lines[0] == "Model: my model"
    assert lines[3].endswith("""predict 'my model' --text 'it'"'"'s good'""")
    assert lines[4].endswith("predict 'my model' FILE -o labelled.csv")


FIT = Reliability(ece=0.021, adaptive_ece=0.02, nll=0.3, bins=())


def test_calibration_is_told() -> None:
    outcome = Outcome(RIGHT, None, FIT)
    record = {"temperature": 1.374, "rows": 1200, "before": {"ece": 0.061}, "after": {"ece": 0.02}}
    assert calibration_text({"calibration": record}, outcome).splitlines() == [
        "Probabilities are calibrated on 1,200 held-out rows: temperature 1.37,",
        "  calibration error (ECE) 6.1 % before, 2.0 % after; 2.1 % on the test rows",
    ]
    assert calibration_text({}, outcome) == (
        "Probabilities are not calibrated, as no rows were held out to do so; on the test rows "
        "their calibration error is 2.1 %."
    )
    assert calibration_text({}, Outcome(None, None)).endswith("held out to do so.")
    assert score_record(outcome)["test_ece"] == 0.021
