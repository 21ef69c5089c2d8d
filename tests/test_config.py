"""The architecture as values."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from ulmfit.config import (
    DIRECTIONS,
    PAPER_DROPOUTS,
    RELEASED_LM_DROPOUTS,
    ClassifierConfig,
    Dropouts,
    LMConfig,
)


def test_the_defaults_are_the_papers() -> None:
    config = LMConfig(vocab_size=30_000)
    assert (config.emb_size, config.hidden_size, config.n_layers) == (400, 1150, 3)
    classifier = ClassifierConfig(lm=config, n_classes=2)
    assert (classifier.head_size, classifier.chunk, classifier.pool_tokens) == (50, 70, None)


def test_the_pooled_part_is_a_chunk_at_least() -> None:
    lm = LMConfig(vocab_size=30)
    assert ClassifierConfig(lm=lm, n_classes=2, chunk=6, pool_tokens=6).pool_tokens == 6
    with pytest.raises(ValidationError, match="pool_tokens has to be at least chunk"):
        ClassifierConfig(lm=lm, n_classes=2, chunk=6, pool_tokens=5)


@pytest.mark.parametrize(
    ("n_layers", "sizes"),
    [
        (1, [(400, 400)]),
        (2, [(400, 1150), (1150, 400)]),
        (3, [(400, 1150), (1150, 1150), (1150, 400)]),
    ],
)
def test_the_last_layer_is_as_wide_as_the_embedding(
    n_layers: int, sizes: list[tuple[int, int]]
) -> None:
    # Otherwise the softmax could not be tied.
    assert LMConfig(vocab_size=9, n_layers=n_layers).layer_sizes() == sizes


def test_dropouts_of_the_paper_and_of_its_code() -> None:
    assert Dropouts() == Dropouts(**RELEASED_LM_DROPOUTS)
    paper = Dropouts(**PAPER_DROPOUTS)
    assert paper.model_dump() == {
        "output_p": 0.4,
        "hidden_p": 0.3,
        "input_p": 0.4,
        "embed_p": 0.05,
        "weight_p": 0.5,
    }
    assert paper.scaled(0.5).weight_p == 0.25
    assert set(paper.scaled(0.0).model_dump().values()) == {0.0}


def test_a_probability_of_one_drops_everything_and_is_refused() -> None:
    for p in (1.0, -0.1):
        with pytest.raises(ValidationError):
            Dropouts(hidden_p=p)
    with pytest.raises(ValidationError):
        Dropouts(weight_p=0.5).scaled(2.0)


@pytest.mark.parametrize(
    "wrong", [{"vocab_size": 0}, {"vocab_size": 5, "n_layers": 0}, {"vocab_size": 5, "width": 3}]
)
def test_impossible_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        LMConfig(**wrong)


def test_values_cannot_be_changed_and_compare_by_content() -> None:
    config = LMConfig(vocab_size=5)
    with pytest.raises(ValidationError):
        config.vocab_size = 6  # type: ignore[misc]
    assert config == LMConfig(vocab_size=5)
    assert hash(config) == hash(LMConfig(vocab_size=5))


def test_to_json_and_back() -> None:
    config = ClassifierConfig(lm=LMConfig(vocab_size=5), n_classes=3, multi_label=True)
    assert ClassifierConfig(**json.loads(json.dumps(config.model_dump()))) == config


def test_directions_by_name() -> None:
    assert DIRECTIONS == {
        "forward": ("forward",),
        "backward": ("backward",),
        "both": ("forward", "backward"),
    }
