"""The HTML report that `train` and `evaluate` write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ulmfit.cli.help import example_command

if TYPE_CHECKING:
    from ulmfit.apps.predictor import Predictor
    from ulmfit.apps.report.subject import Step
    from ulmfit.cli.outcomes import Outcome
    from ulmfit.data.datasets import Dataset


def write_report(
    path: Path,
    model: Path,
    predictor: Predictor,
    outcome: Outcome,
    *,
    train: Dataset | None,
    test: Dataset | None,
    origin: str,
    log: bytes,
) -> None:
    """Write the report of a model: whole or not at all.

    Args:
        path: the HTML file.
        model: folder of the model.
        predictor: the model.
        outcome: what it scored, and what it was compared with.
        train: rows that it learnt, where they are at hand.
        test: rows that it was tested on, if any.
        origin: where those come from, for people.
        log: of its training.

    Raises:
        StorageError: the file cannot be written.
    """
    from ulmfit.apps.report.page import report_page
    from ulmfit.apps.report.subject import Answered, Rival, Subject
    from ulmfit.experiments.baselines import NAME
    from ulmfit.storage import atomic_write

    tested, rivals = None, []
    score, answers = outcome.model, outcome.labels
    if test is not None and score is not None and answers is not None:
        assert outcome.probabilities is not None
        tested = Answered(test, outcome.probabilities, answers, score)
    members = [Rival(name, *alone) for name, alone in outcome.members.items()]
    if outcome.baseline is not None and outcome.baseline_labels is not None:
        rivals.append(Rival(NAME, outcome.baseline_labels, outcome.baseline))
    subject = Subject(
        name=model.resolve().name,
        predictor=predictor,
        tested=tested,
        origin=origin,
        train=train,
        rivals=tuple(rivals),
        members=tuple(members),
        log=log,
        steps=tuple(steps(model)),
    )
    atomic_write(path, report_page(subject))


def steps(model: Path) -> list[Step]:
    """What can be done with a model, by the verbs that there are."""
    from typer.main import get_command

    from ulmfit.apps.report.subject import Step
    from ulmfit.cli.app import app

    folder = str(model)
    wanted = [
        ("Label the rows of a file.", ("predict", folder, "FILE", "-o", "labelled.csv")),
        (
            "Test it on other labelled rows, with a report like this one.",
            ("evaluate", folder, "FILE", "--report", "report.html"),
        ),
        ("See which words speak for an answer.", ("explain", folder, "--text", "a text")),
        ("Answer over HTTP, with a page to try it.", ("serve", folder)),
        ("Use it without torch.", ("export", folder, "--onnx", "exported")),
        (
            "More text without labels makes a better model: train again with it.",
            ("train", "DATA", "--unlabeled", "FILE", "--out", folder),
        ),
    ]
    known = getattr(get_command(app), "commands", {})
    return [
        Step(what, example_command(*command)) for what, command in wanted if command[0] in known
    ]
