"""Texts in slices through a model, with progress; and how the answers look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ulmfit.cli.options import use_threads, use_tokenizer_threads
from ulmfit.cli.printing import WIDTH, json_text, percent, shorten, table

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ulmfit.apps.classifiers import Classifier
    from ulmfit.apps.prediction_journal import Journal
    from ulmfit.data.streams import Rows
    from ulmfit.train.tracker import Display

ABSTAINED = "(abstained)"
SLICE = 256  # texts between two signs of progress
_MOST_CLASSES = 10
_LABEL_WIDTH = 24  # at most, of a column of labels


@dataclass(frozen=True)
class Answers:
    """A slice of the input with what the model says.

    Attributes:
        batch: rows of the input; None for texts that came without a table.
        texts: what was classified.
        labels: the class, or the tuple of classes, of each; None where the model abstains.
        probabilities: (rows, classes).
    """

    batch: pa.RecordBatch | None
    texts: Sequence[str]
    labels: Sequence[str | None] | Sequence[tuple[str, ...] | None]
    probabilities: NDArray[np.float32]


def classify(
    predictor: Classifier, texts: Sequence[str], batch: pa.RecordBatch | None = None
) -> Answers:
    """The model's answers to a few texts."""
    probabilities = predictor.predict_proba(texts)
    return Answers(batch, texts, predictor.answers(probabilities), probabilities)


def classify_rows(
    predictor: Classifier,
    rows: Rows,
    display: Display,
    at_a_time: int = SLICE,
    *,
    total: int = 0,
    journal: Journal | None = None,
) -> Iterator[Answers]:
    """Go through a stream in constant memory.

    Args:
        predictor: gives the answers.
        rows: the stream.
        display: sees the rows done.
        at_a_time: rows of a slice.
        total: rows of the stream, 0 if nobody knows.
        journal: keeps the answers, and knows those of the run that is resumed.
    """
    from ulmfit.train.tracker import Speed

    speed, done, resumed = Speed(), 0, False
    display.begin("texts", total, 0)
    try:
        for batch in rows:
            texts = rows.texts(batch)  # of all of it: a fault is told by its row in the file
            for start in range(0, batch.num_rows, at_a_time):
                part = batch.slice(start, at_a_time)
                recalled = journal is not None and journal.recalling
                if resumed and not recalled:  # how fast answers are recalled says nothing
                    display.end()
                    display.begin("texts", total, done)
                resumed = recalled
                yield _classify_kept(predictor, texts[start : start + at_a_time], part, journal)
                done += part.num_rows
                rate = speed.update(0 if recalled else part.num_rows)
                display.advance(done, {} if recalled else {"texts/s": rate})
        if journal is not None:
            journal.require_all_used()
    finally:
        display.end()


def _classify_kept(
    predictor: Classifier, texts: list[str], batch: pa.RecordBatch, journal: Journal | None
) -> Answers:
    if journal is None:
        return classify(predictor, texts, batch)
    probabilities = journal.answers(texts, predictor.predict_proba)
    return Answers(batch, texts, predictor.answers(probabilities), probabilities)


def classify_texts(
    predictor: Classifier, texts: Sequence[str], display: Display
) -> NDArray[np.float32]:
    """Probabilities of texts in memory, (N, C), in slices for the sake of progress."""
    import numpy as np

    from ulmfit.train.tracker import Speed

    speed, blocks = Speed(), []
    display.begin("texts", len(texts), 0)
    try:
        for start in range(0, len(texts), SLICE):
            part = texts[start : start + SLICE]
            blocks.append(predictor.predict_proba(part))
            display.advance(start + len(part), {"texts/s": speed.update(len(part))})
    finally:
        display.end()
    return np.concatenate(blocks)


def name_of(label: str | Sequence[str] | None) -> str:
    """A label, or the labels of a text, for people."""
    if label is None:
        return ABSTAINED
    return label if isinstance(label, str) else ", ".join(label) or "(none)"


def answer_text(
    label: str | Sequence[str] | None, classes: Sequence[str], probabilities: NDArray[np.float32]
) -> str:
    """The label of one text, and below it the probabilities, the greatest first."""
    ranked = sorted(zip(probabilities.tolist(), classes, strict=True), key=lambda pair: -pair[0])
    rows = [(f"  {shorten(name, 40)}", percent(p)) for p, name in ranked[:_MOST_CLASSES]]
    return f"{name_of(label)}\n{table(rows)}"


def print_lines(slices: Iterator[Answers], classes: Sequence[str], *, multi_label: bool) -> None:
    """One line per text, as soon as it is there: label, confidence, beginning of the text."""
    from ulmfit.train.reliability import row_confidence

    width = _LABEL_WIDTH if multi_label else min(max(map(len, classes)), _LABEL_WIDTH)
    for answers in slices:
        confidence = row_confidence(answers.probabilities, multi_label=multi_label)
        for label, sure, text in zip(answers.labels, confidence, answers.texts, strict=True):
            shown = "-" if label is None else shorten(name_of(label), width)
            start = f"{shown:<{width}}  {percent(float(sure)):>7}  "
            typer.echo(start + shorten(text, WIDTH - len(start)))


def print_document(
    slices: Iterator[Answers],
    classes: Sequence[str],
    *,
    multi_label: bool,
    with_texts: bool,
) -> None:
    """All answers as one JSON document, written as they come.

    Where the model abstains, `label` (for several: `labels`) is null and `abstained` is true.
    """
    typer.echo(f'{{"labels": {json_text(list(classes))}, "predictions": [')
    number = 0
    for answers in slices:
        for label, row, text in zip(
            answers.labels, answers.probabilities, answers.texts, strict=True
        ):
            entry: dict[str, Any] = {"text": text} if with_texts else {"row": number + 1}
            entry["labels" if multi_label else "label"] = label
            if label is None:
                entry["abstained"] = True
            # six digits are what float32 holds
            entry["probabilities"] = {
                name: float(f"{p:.6g}") for name, p in zip(classes, row.tolist(), strict=True)
            }
            line = json_text(entry)
            typer.echo(f",\n{line}" if number else line, nl=False)
            number += 1
    typer.echo("\n]}")


def load_for_use(model: Path, device: str, threads: int | None, *, int8: bool) -> Classifier:
    """The classifier in a model folder, or in an exported one, which needs no torch."""
    from ulmfit.apps.classifiers import load_classifier
    from ulmfit.apps.onnx_folder import is_exported
    from ulmfit.artifacts import read_config

    if is_exported(read_config(model)):
        use_tokenizer_threads(threads)
    else:
        use_threads(threads)
    return load_classifier(model, device, threads, int8=int8)
