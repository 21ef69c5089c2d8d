from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import reviews
from ulmfit.apps.predictor import Predictor
from ulmfit.cli.classified import (
    SLICE,
    Answers,
    answer_text,
    classify_rows,
    classify_texts,
    name_of,
    print_document,
    print_lines,
)
from ulmfit.data.streams import open_rows
from ulmfit.errors import InputError


class Steps:
    """A display that writes down what it is shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, int]] = []

    def begin(self, title: str, total_steps: int, done_steps: int) -> None:
        self.shown.append((title, total_steps))

    def advance(self, step: int, values: dict[str, float]) -> None:
        assert values["texts/s"] > 0
        self.shown.append(("step", step))

    def note(self, text: str) -> None:
        raise AssertionError(text)

    def end(self) -> None:
        self.shown.append(("end", 0))


@pytest.fixture(scope="module")
def predictor(model: Path) -> Predictor:
    return Predictor.load(model)


def test_texts_go_through_in_slices(predictor: Predictor) -> None:
    texts = [text for text, _ in reviews(SLICE + 44)]
    steps = Steps()
    probabilities = classify_texts(predictor, texts, steps)
    assert steps.shown == [("texts", SLICE + 44), ("step", SLICE), ("step", 300), ("end", 0)]
    assert probabilities.shape == (300, 2)
    assert np.allclose(probabilities, predictor.predict_proba(texts), atol=1e-5)


def test_rows_keep_their_order_and_columns(predictor: Predictor, data: Path) -> None:
    steps = Steps()
    with open_rows(data / "test.csv") as rows:
        slices = list(classify_rows(predictor, rows, steps, 16))
    assert [len(answers.labels) for answers in slices] == [16, 16, 8]
    assert steps.shown[-2:] == [("step", 40), ("end", 0)]
    assert [text for answers in slices for text in answers.texts] == [t for t, _ in reviews(40, 1)]
    assert slices[0].batch is not None
    assert slices[0].batch.schema.names == ["text", "label"]


def test_the_display_ends_when_the_reader_goes_away(predictor: Predictor, data: Path) -> None:
    steps = Steps()
    with open_rows(data / "test.csv") as rows:
        slices = classify_rows(predictor, rows, steps, 16)
        next(slices)
        slices.close()  # type: ignore[attr-defined]
    assert steps.shown[-1] == ("end", 0)


ANSWERS = Answers(
    None,
    ["a film\nin two lines", "x" * 100],
    ["good", "bad"],
    np.array([[0.25, 0.75], [1.0, 0.0]], dtype=np.float32),
)


def test_a_line_per_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines(iter([ANSWERS]), ["bad", "good"], multi_label=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "good   75.0 %  a film in two lines"
    assert lines[1].startswith("bad   100.0 %  xxx")
    assert len(lines[1]) == 80


def test_a_document_is_written_piece_by_piece(capsys: pytest.CaptureFixture[str]) -> None:
    print_document(iter([ANSWERS] * 2), ["bad", "good"], multi_label=False, with_texts=False)
    found = json.loads(capsys.readouterr().out)
    assert found["labels"] == ["bad", "good"]
    assert [entry["row"] for entry in found["predictions"]] == [1, 2, 3, 4]
    assert found["predictions"][0]["probabilities"] == {"bad": 0.25, "good": 0.75}
    print_document(iter([]), ["bad", "good"], multi_label=False, with_texts=True)
    assert json.loads(capsys.readouterr().out)["predictions"] == []


def test_several_labels_in_a_document_are_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    labels: list[tuple[str, ...] | None] = [("a", "b"), None]
    answers = Answers(None, ["t", "u"], labels, np.ones((2, 2), dtype=np.float32))
    print_document(iter([answers]), ["a", "b"], multi_label=True, with_texts=True)
    entry, silent = json.loads(capsys.readouterr().out)["predictions"]
    assert entry["labels"] == ["a", "b"]
    assert entry["text"] == "t"
    assert (silent["labels"], silent["abstained"]) == (None, True)


def test_lines_of_several_labels_hold_them_and_how_sure_all_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    p = np.array([[0.9, 0.8], [0.1, 0.6]], dtype=np.float32)
    answers = Answers(None, ["t", "u"], [("ham", "spam"), None], p)
    print_lines(iter([answers]), ["ham", "spam"], multi_label=True)
    first, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["ham,", "spam", "72.0", "%", "t"]
    assert second.split() == ["-", "54.0", "%", "u"]


def test_a_broken_text_is_told_by_its_row_in_the_file(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": "a film", "n": [n]}) for n in range(700)]
    lines[600] = json.dumps({"text": ["a", "list"], "n": [600]})
    path.write_text("\n".join(lines))
    with (
        open_rows(path, text="text") as rows,
        pytest.raises(InputError, match=r"row 601\b"),
    ):
        list(classify_rows(predictor, rows, Steps()))


def test_one_answer_is_ranked() -> None:
    row = np.array([0.125, 0.875], dtype=np.float32)
    assert answer_text("good", ["bad", "good"], row) == "good\n  good  87.5 %\n  bad   12.5 %"
    assert [name_of(label) for label in ("a", ("a", "b"), ())] == ["a", "a, b", "(none)"]
