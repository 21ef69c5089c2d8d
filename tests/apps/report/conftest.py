"""A tiny classifier, rows it was tested on, and a reader of HTML that minds every tag."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser

import pytest
import torch

from tests import tiny
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.report.subject import Answered, Rival, Step, Subject
from ulmfit.config import ClassifierConfig
from ulmfit.data.datasets import Dataset
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel
from ulmfit.stages.classifier_folder import TrainedClassifier
from ulmfit.train.metrics import Labels, evaluate_labels

VOID = {"meta", "br", "col"}
LOG = b"""{"stage": "forward/lm", "step": 5, "train_loss": 3.0, "valid_loss": 2.5}
{"stage": "forward/lm", "step": 10, "train_loss": 2.0, "valid_loss": 2.25}
{"stage": "forward/classifier", "step": 4, "train_loss": 0.7, "valid_loss": 0.5, "error": 0.25}
{"stage": "forward/classifier", "step": 8, "train_loss": 0.2, "valid_loss": 0.6, "error": 0.125}
"""


def member(
    labels: tuple[str, ...], *, multi_label: bool = False, words: Tokenizer | None = None
) -> TrainedClassifier:
    """A classifier that has learnt nothing, but does not answer all texts alike either."""
    torch.manual_seed(7)
    words = words or tiny.tokenizer()
    config = ClassifierConfig(
        lm=tiny.lm_config(words.vocab_size), n_classes=len(labels), multi_label=multi_label
    )
    model = TextClassifierModel(config, tiny.NO_DROPOUT, HeadDropouts())
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    weights["encoder.embedding.weight"] *= 20
    weights["head.linear2.weight"] *= 20
    info = {
        "lm": {"corpus": "none at all", "licence": "CC0", "settings": {"rates": {"lr": 0.25}}},
        "settings": {"epochs": 3, "dropouts": {"input_p": 0.123}},
    }
    return TrainedClassifier(config, "forward", labels, words, weights, info)


def answered_by(predictor: Predictor, dataset: Dataset) -> Answered:
    """The model's own answers to rows."""
    assert dataset.labels is not None
    probabilities = predictor.predict_proba(dataset.texts)
    answers = predictor.decide(probabilities)
    score = evaluate_labels(
        dataset.labels, answers, predictor.labels, multi_label=predictor.multi_label
    )
    return Answered(dataset, probabilities, answers, score)


def rival(subject: Subject, answers: Labels) -> Rival:
    """Another method with these answers."""
    assert subject.tested is not None
    score = evaluate_labels(
        subject.tested.truth, answers, subject.labels, multi_label=subject.multi_label
    )
    return Rival("Another method", answers, score)


def make_subject(
    test: Dataset,
    train: Dataset | None = None,
    *,
    labels: tuple[str, ...] = ("glad", "sad"),
    log: bytes = LOG,
) -> Subject:
    """A report on a tiny model and these rows."""
    predictor = Predictor([member(labels, multi_label=test.multi_label)], device="cpu")
    steps = (Step("Label a file.", "ulmfit predict model FILE"),)
    return Subject(
        "my model", predictor, answered_by(predictor, test), "a file", train, (), log, steps
    )


def rows(count: int, seed: int = 0) -> Dataset:
    """Labelled sentences."""
    texts, labels = tiny.labelled_texts(count, seed)
    return Dataset(texts, labels, name=f"rows {seed}")


@pytest.fixture(scope="session")
def subject() -> Subject:
    """A model tested on 40 rows, with the training rows and another method."""
    found = make_subject(rows(40, seed=1), rows(60, seed=2))
    assert found.tested is not None
    answers = ["glad"] * len(found.tested.truth)
    return Subject(**{**vars(found), "rivals": (rival(found, answers),)})


def plain(text: str) -> str:
    """With plain spaces."""
    return text.replace("\u00a0", " ")


class Page(HTMLParser):
    """Reads HTML; every element must be closed in its turn.

    Attributes:
        tags: names of all elements.
        attributes: all (element, attribute, value).
        text: what is to be read.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, plain(value or "")) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.text += plain(data)  # no-break spaces are shown as spaces

    def values(self, attribute: str) -> list[str]:
        """All values of an attribute."""
        return [value for _, name, value in self.attributes if name == attribute]


@pytest.fixture(scope="session")
def read() -> Callable[[str], Page]:
    """Parse HTML strictly."""
    return Page
