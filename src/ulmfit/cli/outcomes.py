"""What came out of training: test error beside the baseline's, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ulmfit.cli.classified import classify_texts
from ulmfit.cli.help import example_command
from ulmfit.cli.labelled import Parts
from ulmfit.cli.printing import interval, percent, shorten

if TYPE_CHECKING:
    from ulmfit.apps.classifiers import Classifier, Probabilities
    from ulmfit.train.metrics import Evaluation, Labels
    from ulmfit.train.reliability import Reliability
    from ulmfit.train.tracker import Display


@dataclass(frozen=True)
class Outcome:
    """What a model scores on the test rows, beside the baseline.

    Attributes:
        model: None where there is nothing to test on.
        baseline: None where it was not asked for.
        reliability: how far the model's probabilities can be relied on, on the same rows.
        probabilities: the model's, (rows, classes).
        labels: its answers.
        baseline_labels: the baseline's answers.
        members: answers and scores of the model's members of one kind alone, by name.
    """

    model: Evaluation | None
    baseline: Evaluation | None
    reliability: Reliability | None = None
    probabilities: Probabilities | None = None
    labels: Labels | None = None
    baseline_labels: Labels | None = None
    members: Mapping[str, tuple[Labels, Evaluation]] = field(default_factory=dict)


def judge(predictor: Classifier, parts: Parts, display: Display, *, baseline: bool) -> Outcome:
    """Test a trained model, and on the same rows TF-IDF with logistic regression."""
    from ulmfit.experiments.baselines import NAME, fit_baseline
    from ulmfit.train.metrics import evaluate_labels, indicators
    from ulmfit.train.reliability import reliability

    test = parts.test
    if test is None or test.labels is None:
        return Outcome(None, None)

    def score(labels: Labels) -> Evaluation:
        assert test is not None and test.labels is not None
        return evaluate_labels(
            test.labels, labels, predictor.labels, multi_label=test.multi_label, name=test.name
        )

    display.note(f"testing on {len(test):,} rows")
    probabilities = classify_texts(predictor, test.texts, display)
    own = predictor.decide(probabilities)
    fit = reliability(
        probabilities,
        indicators(test.labels, predictor.labels),
        multi_label=predictor.multi_label,
    )
    members = {}
    for name, alone in predictor.members_alone(test.texts, probabilities).items():
        labels = predictor.decide(alone)
        members[name] = labels, score(labels)
    outcome = Outcome(score(own), None, fit, probabilities, own, members=members)
    if not baseline:
        return outcome
    display.note(f"training and testing {NAME} on the same rows")
    simple = fit_baseline(parts.train).predict(test.texts)
    return replace(outcome, baseline=score(simple), baseline_labels=simple)


def outcome_text(outcome: Outcome, parts: Parts) -> str:
    """Test errors with their intervals, one below the other."""
    from ulmfit.experiments.baselines import NAME

    if outcome.model is None:
        return "Not tested: --test-fraction 0 left nothing to test on."
    members = [(f"  {name}", score) for name, (_, score) in outcome.members.items()]
    scores = [("this model", outcome.model), *members, (NAME, outcome.baseline)]
    width = max(len(name) for name, score in scores if score is not None)
    lines = [f"Test error on {outcome.model.rows:,} rows, {parts.origin}:"]
    for name, score in scores:
        if score is not None:
            lines.append(
                f"  {name:<{width}}  {percent(score.error):>7}   95 % interval {interval(score)}"
            )
    return "\n".join(lines)


def calibration_text(metrics: Mapping[str, Any], outcome: Outcome) -> str:
    """What was done so that probabilities say how often they are right, and how well they do."""
    tested = "" if outcome.reliability is None else percent(outcome.reliability.ece)
    record = metrics.get("calibration")
    if record is None:
        held = f"; on the test rows their calibration error is {tested}" if tested else ""
        return f"Probabilities are not calibrated, as no rows were held out to do so{held}."
    before, after = (percent(record[when]["ece"]) for when in ("before", "after"))
    lines = [
        f"Probabilities are calibrated on {record['rows']:,} held-out rows: temperature "
        f"{record['temperature']:.2f},",
        f"  calibration error (ECE) {before} before, {after} after"
        + (f"; {tested} on the test rows" if tested else ""),
    ]
    return "\n".join(lines)


def say_next(out: Path, example: str | None, report: Path | None = None) -> str:
    """What to do with a new model: command lines that work as printed."""
    lines = [f"Model:  {out}", f"Report: {report}", ""] if report else [f"Model: {out}", ""]
    if example is not None:
        lines += ["Try it:", f"  {example_command('predict', str(out), '--text', example)}"]
    lines.append(f"  {example_command('predict', str(out), 'FILE', '-o', 'labelled.csv')}")
    lines.append(f"  {example_command('serve', str(out))}")
    return "\n".join(lines)


def example_text(texts: Iterable[str]) -> str:
    """A short text from the data to try a model with: the first that fits on a line."""
    first = next(iter(texts))
    return next((text for text in texts if 10 <= len(text) <= 50), shorten(first, 50))


def data_record(parts: Parts) -> dict[str, Any]:
    """What the model card says of the data; names of files without their folders."""
    from collections import Counter
    from itertools import chain
    from statistics import median

    labels = parts.train.labels or []
    names = chain.from_iterable((one,) if isinstance(one, str) else one for one in labels)
    return {
        "name": file_name(parts.train.name),
        "train_rows": len(parts.train),
        "test_rows": len(parts.test) if parts.test is not None else 0,
        "held_out": parts.origin.startswith("held out"),
        "median_words": int(median(len(text.split()) for text in parts.train.texts)),
        "labels": dict(Counter(names).most_common()),
    }


def file_name(name: str) -> str:
    """The name of a data set without the folders before it; a split keeps that of its own."""
    from ulmfit.data.folders import SPLITS

    path = Path(name).absolute()
    return f"{path.parent.name}/{path.name}" if path.name in SPLITS else path.name


def score_record(outcome: Outcome) -> dict[str, Any]:
    """The outcome for `metrics.json`."""
    fit = outcome.reliability
    record: dict[str, Any] = {}
    if fit is not None:
        record |= {"test_ece": fit.ece, "test_nll": fit.nll}
    if outcome.members:
        record["members"] = {name: score.error for name, (_, score) in outcome.members.items()}
    return record | {
        f"{name}_{key}": value
        for name, score in (("test", outcome.model), ("baseline", outcome.baseline))
        if score is not None
        for key, value in (
            ("error", score.error),
            ("error_interval", list(score.error_interval)),
            ("macro_f1", score.macro_f1),
            ("rows", score.rows),
        )
    }
