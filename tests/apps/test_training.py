"""`train`: which documents train, which choose the epoch, and which run may be resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tests.displays import Notes
from ulmfit.apps.run import TrainingRun
from ulmfit.apps.training import MIN_VALID_ROWS, train_classifier
from ulmfit.config import Direction
from ulmfit.data.datasets import Dataset
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError, SettingsError
from ulmfit.runtime import make_accelerator
from ulmfit.settings import ClassifierSettings, FinetuneLMSettings, NGramSettings, Settings
from ulmfit.stages.calibration import calibrate
from ulmfit.stages.fit_ngrams import DEFAULT_SHARE, SHARES
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.train.metrics import indicators

WORDS = tiny.tokenizer()
LMS: dict[Direction, TrainedLM] = {"forward": tiny.trained_lm(WORDS)}


def dataset(n: int, seed: int = 0, name: str = "data") -> Dataset:
    texts, labels = tiny.labelled_texts(n, seed)
    return Dataset(texts, labels, name=name)


def settings(**changes: Any) -> Settings:
    values: dict[str, Any] = {
        "finetune_lm": FinetuneLMSettings.model_validate(
            {"epochs": 1, "batch_size": 20, "least_steps": 1, "bptt": 6, "min_freq": 1}
        ),
        "classifier": ClassifierSettings.model_validate(
            {"epochs": 2, "batch_size": 40, "chunk": 5, "head_size": 5, "valid_fraction": 0.2}
        ),
        **changes,
    }
    return Settings(**values)


def training_run(work: Path, *, resume: bool = False, seed: int = 0) -> TrainingRun:
    return TrainingRun(work, make_accelerator(cpu=True), Notes(), seed, resume)


def notes(run: TrainingRun) -> list[str]:
    assert isinstance(run.display, Notes)
    return run.display.lines


def trained_on(run: TrainingRun) -> list[str]:
    return [line for line in notes(run) if "classifier:" in line]


def records(work: Path, stage: str) -> list[dict[str, Any]]:
    lines = (work / "forward" / stage / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_part_is_held_out_where_there_is_enough(tmp_path: Path) -> None:
    enough = 5 * MIN_VALID_ROWS
    run = training_run(tmp_path)
    rows = dataset(enough)
    different = replace(rows, texts=[f"{text} {i}" for i, text in enumerate(rows.texts)])
    predictor = train_classifier(different, LMS, settings(), run)
    assert trained_on(run) == [f"forward classifier: {enough - MIN_VALID_ROWS} documents"]
    record = predictor.metrics["calibration"]
    assert record["rows"] == MIN_VALID_ROWS
    assert record["temperature"] == predictor.temperature != 1
    assert record["after"]["nll"] <= record["before"]["nll"] + 1e-3
    assert "valid_loss" in records(tmp_path, "classifier")[0]


def test_with_few_documents_all_are_trained_on(tmp_path: Path) -> None:
    run = training_run(tmp_path)
    predictor = train_classifier(dataset(5 * MIN_VALID_ROWS - 2), LMS, settings(), run)
    assert predictor.temperature == 1, "there is nothing to fit it on"
    assert "calibration" not in predictor.metrics
    assert trained_on(run) == [f"forward classifier: {5 * MIN_VALID_ROWS - 2} documents"]
    assert "valid_loss" not in records(tmp_path, "classifier")[0]


def test_held_out_documents_can_be_given(tmp_path: Path) -> None:
    run = training_run(tmp_path)
    predictor = train_classifier(dataset(30), LMS, settings(), run, valid=dataset(20, seed=1))
    assert trained_on(run) == ["forward classifier: 30 documents"]
    assert "valid_loss" in records(tmp_path, "classifier")[0]
    assert predictor.labels == ("glad", "sad")


def test_held_out_documents_of_an_unknown_class(tmp_path: Path) -> None:
    other = Dataset(["a film", "a song"], ["glad", "odd"], name="other.csv")
    with pytest.raises(InputError) as caught:
        train_classifier(dataset(30), LMS, settings(), training_run(tmp_path), valid=other)
    assert str(caught.value) == (
        "other.csv: label 'odd' does not occur in data: expected one of glad, sad."
    )
    assert list(tmp_path.iterdir()) == []  # nothing was begun


def test_the_language_model_reads_labelled_and_unlabelled_text(tmp_path: Path) -> None:
    opened = []

    def unlabeled() -> list[str]:
        opened.append(True)
        return ["a zebra was seen", "a zebra was heard"]

    predictor = train_classifier(
        dataset(30), LMS, settings(), training_run(tmp_path), unlabeled=unlabeled
    )
    vocabulary = predictor.members[0].tokenizer.vocab
    assert "zebra" in vocabulary
    assert "film" in vocabulary
    assert opened


def test_fine_tuning_the_language_model_can_be_left_out(tmp_path: Path) -> None:
    predictor = train_classifier(
        dataset(30), LMS, settings(finetune_lm=None), training_run(tmp_path)
    )
    assert predictor.members[0].tokenizer.digest == WORDS.digest
    assert not (tmp_path / "forward" / "lm").exists()


def test_several_labels_a_row(tmp_path: Path) -> None:
    texts, labels = tiny.labelled_texts(40)
    rows: list[tuple[str, ...]] = []
    for text, label in zip(texts, labels, strict=True):
        rows.append((label, "film") if "film" in text else ())
    data = Dataset(texts, rows, multi_label=True)
    predictor = train_classifier(data, LMS, settings(), training_run(tmp_path))
    assert predictor.labels == ("film", "glad", "sad")
    assert predictor.multi_label
    sums = predictor.predict_proba(texts).sum(axis=1)
    assert not np.allclose(sums, 1)


def test_both_directions_read_one_corpus(tmp_path: Path) -> None:
    lms: dict[Direction, TrainedLM] = {
        "forward": tiny.trained_lm(WORDS),
        "backward": tiny.trained_lm(WORDS, "backward", seed=1),
    }
    run = training_run(tmp_path)
    predictor = train_classifier(dataset(30), lms, settings(), run)
    assert [member.direction for member in predictor.members] == ["forward", "backward"]
    assert notes(run).count("reading the task's text") == 1


DATA = dataset(30)
VALID = dataset(10, seed=4)
MORE = ["one more text", "and another one"]


@pytest.mark.parametrize(
    ("named", "change"),
    [
        ("data and task text", {"dataset": dataset(32)}),
        ("data", {"dataset": Dataset(DATA.texts, ["sad", "glad"] * 15)}),
        ("data", {"valid": dataset(10, seed=5)}),
        ("data", {"valid": None}),
        ("task text", {"unlabeled": lambda: [*MORE, "a third"]}),
        ("task text", {"unlabeled": None}),
        ("settings", {"settings": settings(classifier=ClassifierSettings(epochs=3))}),
        ("task text and settings", {"settings": settings(finetune_lm=None)}),
        ("language model", {"lms": {"forward": tiny.trained_lm(WORDS, seed=9)}}),
        ("seed", {"seed": 1}),
    ],
    ids=[
        "rows",
        "labels",
        "validation",
        "no validation",
        "more text",
        "no more text",
        "epochs",
        "no LM",
        "other LM",
        "seed",
    ],
)
def test_another_run_is_not_resumed(
    named: str, change: dict[str, Any], tmp_path: Path, first_run: Callable[[Path], None]
) -> None:
    first_run(tmp_path)
    values: dict[str, Any] = {
        "dataset": DATA,
        "lms": LMS,
        "settings": settings(),
        "unlabeled": lambda: MORE,
        "valid": VALID,
        "seed": 0,
        **change,
    }
    run = training_run(tmp_path, resume=True, seed=values["seed"])
    with pytest.raises(SettingsError) as caught:
        train_classifier(
            values["dataset"],
            values["lms"],
            values["settings"],
            run,
            unlabeled=values["unlabeled"],
            valid=values["valid"],
        )
    message = str(caught.value)
    assert message.startswith(f"the run in '{tmp_path}' differs in {named}")
    assert message.endswith(
        ". Give the same data, settings and --precision to resume it, or leave --resume out to "
        "start again."
    )


def test_another_precision_is_not_mixed_in(
    tmp_path: Path, first_run: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first_run(tmp_path)
    run = training_run(tmp_path, resume=True)
    monkeypatch.setattr("ulmfit.runtime.cpu_runs_bf16", lambda: True)  # nothing is computed
    run = replace(run, accelerator=make_accelerator("bf16", cpu=True))
    with pytest.raises(SettingsError, match="differs in precision"):
        train_classifier(DATA, LMS, settings(), run, unlabeled=lambda: MORE, valid=VALID)


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Makes a work folder as a run leaves it; trained once, then copied."""
    left = tmp_path_factory.mktemp("first") / "run"
    train_classifier(DATA, LMS, settings(), training_run(left), unlabeled=lambda: MORE, valid=VALID)

    def make(folder: Path) -> None:
        shutil.copytree(left, folder, dirs_exist_ok=True)

    return make


def test_the_same_run_is_resumed_and_has_nothing_to_do(
    tmp_path: Path, first_run: Callable[[Path], None]
) -> None:
    first_run(tmp_path)
    run = training_run(tmp_path, resume=True)
    train_classifier(DATA, LMS, settings(), run, unlabeled=lambda: MORE, valid=VALID)
    assert all("words and word pairs, with a weight of" in line for line in notes(run))


def test_without_resume_the_work_is_done_anew(
    tmp_path: Path, first_run: Callable[[Path], None]
) -> None:
    first_run(tmp_path)
    run = training_run(tmp_path)
    predictor = train_classifier(dataset(30, seed=8), LMS, settings(), run)
    assert trained_on(run) == ["forward classifier: 30 documents"]
    assert predictor.labels == ("glad", "sad")


def test_a_vocabulary_of_subwords(tmp_path: Path) -> None:
    subwords = Tokenizer.train(DATA.texts, kind="bpe", vocab_size=80, min_freq=1)
    predictor = train_classifier(
        DATA, {"forward": tiny.trained_lm(subwords)}, settings(), training_run(tmp_path)
    )
    assert predictor.members[0].tokenizer.digest == subwords.digest


def test_a_member_that_counts_words_joins_in(tmp_path: Path) -> None:
    train, held_out = dataset(120), dataset(MIN_VALID_ROWS, seed=1)
    run = training_run(tmp_path / "few")
    few = train_classifier(dataset(60), LMS, settings(), run)
    assert few.ngrams is not None
    assert few.ngrams.share == DEFAULT_SHARE, "nothing held out to choose it by"
    assert any("words and word pairs, with a weight of" in line for line in notes(run))

    chosen = train_classifier(
        train, LMS, settings(), training_run(tmp_path / "chosen"), valid=held_out
    )
    assert chosen.ngrams is not None
    assert chosen.ngrams.share in SHARES
    assert chosen.metrics["calibration"]["rows"] == MIN_VALID_ROWS
    # the temperature is that of the blend
    expected = calibrate(
        chosen.scores(held_out.texts),
        indicators(held_out.labels or [], chosen.labels),
        multi_label=False,
    )
    assert chosen.temperature == pytest.approx(expected.temperature)

    given = {"ngrams": NGramSettings(share=1.25)}
    told = train_classifier(train, LMS, settings(**given), training_run(tmp_path / "told"))
    assert told.ngrams is not None
    assert told.ngrams.share == 1.25
    without = train_classifier(train, LMS, settings(ngrams=None), training_run(tmp_path / "no"))
    assert without.ngrams is None
