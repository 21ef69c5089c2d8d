"""Attributions: they add up, find what was planted, and come from the weights."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tiny
from tests.apps import tiny_classifiers
from tests.apps.test_predictor import member
from tests.threads import torch_threads
from ulmfit import TextClassifier
from ulmfit.apps.explain import LONG, METHODS, Explanation, explain
from ulmfit.apps.predictor import Predictor
from ulmfit.config import Dropouts
from ulmfit.errors import InputError, SettingsError
from ulmfit.stages.folder_config import Calibration
from ulmfit.train.tracker import Silent

SETTINGS = {
    "ngrams": None,  # these tests are about what the networks see
    "finetune_lm": None,
    "classifier.epochs": 16,
    "classifier.batch_size": 8,
    "classifier.unfreezing": "full",
    "classifier.rates.lr": 0.01,
    "classifier.rates.kind": "uniform",
    "classifier.ar_alpha": 0.0,
    "classifier.tar_beta": 0.0,
    **{f"classifier.dropouts.{name}": 0.0 for name in Dropouts.model_fields},
    "classifier.head_p": [0.0, 0.0],
}
PLANTED = {*tiny.GLAD, *tiny.SAD}
TEXTS = [
    "The film was GREAT!!!! no no no, it wasn't dull",
    "the story was lovely and the ending was poor . " * 4,
    "השיר היה lovely מאוד",
    "great 😀👩‍👩‍👧‍👦 film",
    "a lone \ud83d surrogate",
    "great",
    "   ",
    "",
]


@pytest.fixture(scope="module")
def both() -> Predictor:
    """It has learnt nothing, but depends on every word."""
    return Predictor([member("forward"), member("backward")])


@pytest.fixture(scope="module")
def planted(lm_folder: Path) -> TextClassifier:
    """Trained on texts whose label an adjective tells."""
    texts, labels = tiny.labelled_texts(400)
    made = TextClassifier(lm=lm_folder, overrides=SETTINGS, precision="float32")
    with torch_threads(2):  # on which the rounding depends, and so the weights
        return made.fit(texts, labels)


def by_word(found: Explanation) -> dict[str, float]:
    return {found.text[span.start : span.end]: span.attribution for span in found.spans}


def share_of_planted(found: Explanation) -> float:
    """Their part of all that speaks for the label."""
    speaking = [span for span in found.spans if span.attribution > 0]
    planted = [span for span in speaking if found.text[span.start : span.end] in PLANTED]
    return sum(s.attribution for s in planted) / sum(s.attribution for s in speaking)


@pytest.mark.parametrize("text", TEXTS)
def test_they_add_up_to_the_change_in_score(both: Predictor, text: str) -> None:
    for label in both.labels:
        found = explain(both, text, label)
        assert abs(found.unexplained) <= found.tolerance
        assert found.probability == pytest.approx(1 / (1 + math.exp(-found.score)), abs=1e-5)
    opposite = explain(both, text, both.labels[0])
    assert opposite.score == pytest.approx(-found.score, abs=1e-4), "two classes mirror"
    assert opposite.baseline_score == pytest.approx(-found.baseline_score, abs=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", TEXTS)
def test_spans_are_disjoint_and_hold_all_that_is_no_space(
    both: Predictor, text: str, method: str
) -> None:
    found = explain(both, text, method=method)
    places = [(span.start, span.end) for span in found.spans]
    assert all(start < end for start, end in places)
    assert all(a[1] <= b[0] for a, b in pairwise(places))
    held = {i for start, end in places for i in range(start, end)}
    assert {i for i, character in enumerate(text) if not character.isspace()} <= held


@pytest.mark.parametrize("multi_label", [False, True])
def test_what_counted_words_add_is_explained_too(multi_label: bool) -> None:
    plain = tiny_classifiers.both(multi_label=multi_label, temperature=1.7)
    predictor = tiny_classifiers.counting(plain)
    text = tiny_classifiers.TEXTS[0]
    for label, p in zip(predictor.labels, predictor.predict_proba([text])[0], strict=True):
        found, without = explain(predictor, text, label), explain(plain, text, label)
        assert found.score == pytest.approx(math.log(p / (1 - p)), abs=1e-4)
        assert abs(found.unexplained) <= found.tolerance
        assert by_word(found) != pytest.approx(by_word(without), abs=0.01)
        occluded = explain(predictor, text, label, method="occlusion")
        assert occluded.score == pytest.approx(found.score, abs=1e-4)


def test_calibrated_and_several_labels() -> None:
    for multi_label in (False, True):
        parts = [
            member(direction, labels=("a", "b", "c"), multi_label=multi_label)
            for direction in ("forward", "backward")
        ]
        first = replace(parts[0], calibration=Calibration(temperature=1.7))
        predictor = Predictor([first, parts[1]])
        for label, p in zip(predictor.labels, predictor.predict_proba(TEXTS[:1])[0], strict=True):
            found = explain(predictor, TEXTS[0], label)
            assert found.score == pytest.approx(math.log(p / (1 - p)), abs=1e-4)
            assert abs(found.unexplained) <= found.tolerance


def test_the_most_probable_label_is_the_default(both: Predictor) -> None:
    found = explain(both, TEXTS[0])
    assert [found.label] == both.decide(both.predict_proba([TEXTS[0]]))
    assert found.probability > 0.5


@pytest.mark.parametrize("method", METHODS)
def test_planted_words_are_found(planted: TextClassifier, method: str) -> None:
    texts, labels = tiny.labelled_texts(20, seed=5)
    found = [
        explain(planted.predictor_, text, label, method=method)
        for text, label in zip(texts, labels, strict=True)
    ]
    first = [max(each.spans, key=lambda span: span.attribution) for each in found]
    hits = [text[span.start : span.end] in PLANTED for text, span in zip(texts, first, strict=True)]
    assert sum(hits) >= 10, "one word of five tells the label: by chance it were four"
    assert np.mean([share_of_planted(each) for each in found]) > 0.4


def test_words_for_and_against(planted: TextClassifier) -> None:
    words = by_word(explain(planted.predictor_, "a dull film and a great song", "glad"))
    assert words["great"] > 0 > words["dull"]


def test_the_methods_agree_on_a_trained_model(planted: TextClassifier) -> None:
    text = "the film was lovely and the song was boring and the scene was fine ."
    gradients, dropped = (
        np.array([span.attribution for span in explain(planted.predictor_, text, method=m).spans])
        for m in METHODS
    )
    assert np.corrcoef(gradients, dropped)[0, 1] > 0.5


def shuffled(planted: Predictor, seed: int) -> Predictor:
    """The same numbers in the encoder, each in another place of its matrix."""
    generator = torch.Generator().manual_seed(seed)
    members = []
    for part in planted.members:
        weights = dict(part.weights)
        for name in [name for name in weights if "encoder" in name]:
            values = weights[name].flatten()
            order = torch.randperm(len(values), generator=generator)
            weights[name] = values[order].view(weights[name].shape)
        members.append(replace(part, weights=weights))
    return Predictor(members)


def test_other_weights_give_other_attributions(planted: TextClassifier) -> None:
    text = "the film was lovely and the song was boring and the scene was fine ."
    found, *others = (
        np.array([span.attribution for span in explain(each, text, "glad").spans])
        for each in (planted.predictor_, *(shuffled(planted.predictor_, n) for n in range(8)))
    )
    # Of so few words a single pair may be more alike than that by chance, with either sign.
    alike = [abs(np.corrcoef(found, other)[0, 1]) for other in others]
    assert np.mean(alike) < 0.7


def test_threads_do_not_disturb_one_another(both: Predictor) -> None:
    alone = [explain(both, text) for text in TEXTS[:4]]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: explain(both, text), TEXTS[:4] * 3))
    for found, expected in zip(together, alone * 3, strict=True):
        assert found.label == expected.label
        assert [span.attribution for span in found.spans] == pytest.approx(
            [span.attribution for span in expected.spans], abs=1e-5
        )


def test_a_long_text() -> None:
    part = member()
    part = replace(part, config=part.config.model_copy(update={"chunk": 70}))
    predictor, text = Predictor([part]), "the film was great . " * 1000
    found = explain(predictor, text)
    assert len(found.spans) == 5000
    assert abs(found.unexplained) <= found.tolerance
    dropped = explain(predictor, text, method="occlusion")
    assert len(dropped.spans) <= 200, "some words at a time"
    assert dropped.spans[-1].end == len(text) - 1


def test_bfloat16_for_long_texts_ranks_words_as_float32_does(
    planted: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "the film was lovely and the song was boring and a scene was fine . " * 40
    found = {}
    for precision in ("float32", "bf16"):
        monkeypatch.setattr("ulmfit.apps.explain.fast_precision", lambda *, cpu, p=precision: p)
        explained = explain(planted.predictor_, text)
        assert abs(explained.unexplained) <= explained.tolerance
        found[precision] = explained
    exact, fast = found.values()
    assert len(exact.spans) > LONG
    assert (fast.score, fast.baseline_score) == pytest.approx(
        (exact.score, exact.baseline_score), abs=1e-5
    ), "the scores are those of the exact model"
    shares = [np.array([span.attribution for span in each.spans]) for each in (exact, fast)]
    assert not np.array_equal(shares[0], shares[1])
    # How far apart they are depends on the processor's way of rounding: 0.91 and 0.98 were seen.
    assert np.corrcoef(np.stack(shares))[0, 1] > 0.85
    words = text.split()
    kinds = sorted(set(words))
    sums = [[share[[word == kind for word in words]].sum() for kind in kinds] for share in shares]
    assert np.corrcoef(sums)[0, 1] > 0.97


class Watched(Silent):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.stretches: list[tuple[str, int]] = []
        self.steps: list[int] = []
        self.ends = 0

    def begin(self, title: str, total_steps: int, done_steps: int) -> None:
        self.stretches.append((title, total_steps))
        self.steps = []

    def advance(self, step: int, values: dict[str, float]) -> None:
        self.steps.append(step)

    def end(self) -> None:
        assert self.steps == list(range(1, self.stretches[-1][1] + 1)), "each window is counted"
        self.ends += 1


@pytest.mark.parametrize("method", METHODS)
def test_progress_of_a_long_text_and_none_of_a_short_one(both: Predictor, method: str) -> None:
    for text, shown in (("the film was great . " * 90, True), ("a great film", False)):
        watched = Watched()
        explain(both, text, method=method, display=watched)
        assert bool(watched.stretches) == shown
        assert watched.ends == len(watched.stretches)


def test_an_empty_text_is_its_own_baseline(both: Predictor) -> None:
    for method in METHODS:
        found = explain(both, "", method=method)
        assert found.spans == ()
        assert found.score == pytest.approx(found.baseline_score)


def test_as_plain_data(both: Predictor) -> None:
    found = explain(both, "a great film").to_dict()
    assert [span["text"] for span in found["spans"]] == ["a", "great", "film"]
    assert found["spans"][1]["start"] == 2
    assert found["method"] == "integrated-gradients"
    total = sum(span["attribution"] for span in found["spans"])
    assert found["unexplained"] == found["score"] - found["baseline_score"] - total


def test_what_cannot_be_explained(both: Predictor) -> None:
    with pytest.raises(InputError) as caught:
        explain(both, "a film", "good")
    assert str(caught.value) == (
        "label 'good' is unknown to the model: expected one of 'glad', 'sad'."
    )
    with pytest.raises(SettingsError) as refused:
        explain(both, "a film", method="lime")
    assert str(refused.value) == (
        "method 'lime' is unknown: expected one of 'integrated-gradients', 'occlusion'."
    )
    with pytest.raises(InputError, match=r"text 0 \(counted from 0\) is None of type NoneType"):
        explain(both, None)  # type: ignore[arg-type]


def test_without_time_it_says_that_it_is_coarse(planted: TextClassifier) -> None:
    predictor = planted.predictor_
    for text in TEXTS:
        hurried = explain(predictor, text, seconds=0)
        assert hurried.coarse == (abs(hurried.unexplained) > hurried.tolerance)
        whole = explain(predictor, text, seconds=600)
        assert not whole.coarse
        assert hurried.score == pytest.approx(whole.score, abs=1e-4)
    assert any(explain(predictor, text, seconds=0).coarse for text in TEXTS)
