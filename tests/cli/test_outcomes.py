from __future__ import annotations

from pathlib import Path

import pytest

from ulmfit.cli.labelled import Parts
from ulmfit.cli.outcomes import Outcome, example_text, outcome_text, say_next, score_record
from ulmfit.data.datasets import Dataset
from ulmfit.train.metrics import evaluate_labels

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


def test_next_steps_are_commands() -> None:
    lines = say_next(Path("my model"), "it's good").splitlines()
    assert lines[0] == "Model: my model"
    assert lines[3].endswith("""predict 'my model' --text 'it'"'"'s good'""")
    assert lines[4].endswith("predict 'my model' FILE -o labelled.csv")
