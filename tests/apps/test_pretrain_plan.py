"""Defaults by corpus, machine and time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ulmfit.apps.corpus_facts import CorpusFacts
from ulmfit.apps.pretrain_plan import (
    MOST_BUDGET_EPOCHS,
    Machine,
    describe,
    filled,
    fit_budget,
    shares,
    suggest,
)
from ulmfit.errors import InputError
from ulmfit.settings import PretrainSettings
from ulmfit.stages.lm_speed import Speed

ENGLISH = CorpusFacts(20_000, 30_000_000, 180_000_000, "", 0.05)


def english(words: int, unknown_share: float = 0.05) -> CorpusFacts:
    return replace(ENGLISH, words=words, chars=6 * words, unknown_share=unknown_share)


CPU, GPU = Machine(False, "2 processors"), Machine(True, "a GPU")


def sizes(facts: CorpusFacts, machine: Machine) -> tuple[object, ...]:
    s = filled(PretrainSettings(), suggest(facts, machine).values, ())
    return s.text.kind, s.text.vocab_size, s.emb_size, s.n_layers, s.batch_size, s.epochs


def test_much_text_on_a_gpu_gets_the_papers_sizes() -> None:
    assert sizes(ENGLISH, GPU) == ("word", 30_000, 400, 3, 256, 10)
    assert sizes(ENGLISH, CPU) == ("word", 30_000, 256, 2, 64, 1)


def test_little_text_gets_less_and_more_often() -> None:
    small = english(100_000)
    assert sizes(small, CPU) == ("word", 30_000, 128, 2, 64, 12)
    assert sizes(english(2_000_000), GPU) == ("word", 30_000, 256, 2, 128, 12)


def test_words_that_a_vocabulary_cannot_hold_become_subwords() -> None:
    glued = replace(ENGLISH, unknown_share=0.3)
    assert sizes(glued, CPU)[:2] == ("unigram", 15_000)
    assert sizes(english(600_000, 0.3), CPU)[:2] == ("unigram", 8_000)
    assert sizes(english(1_000, 0.3), CPU)[:2] == ("unigram", 4_000)


def test_writing_without_spaces_is_measured_by_its_characters() -> None:
    chinese = CorpusFacts(10_000, 40_000, 2_000_000, "", 0.9)
    assert chinese.size == 1_000_000
    assert sizes(chinese, CPU) == ("unigram", 8_000, 256, 2, 64, 6)
    assert "1,000,000 words or so, without spaces, on 2 processors" in suggest(chinese, CPU).reason
    assert ENGLISH.size == ENGLISH.words


def test_text_that_is_read_often_needs_more_dropout() -> None:
    once, often = (
        filled(PretrainSettings(), suggest(english(n), CPU).values, ())
        for n in (30_000_000, 100_000)
    )
    assert once.dropouts == PretrainSettings().dropouts
    assert often.dropouts.weight_p == pytest.approx(5 * once.dropouts.weight_p)


def test_what_the_user_has_set_stays() -> None:
    mine = PretrainSettings(emb_size=77)
    found = filled(mine, suggest(ENGLISH, GPU).values, ["emb_size", "dropouts.output_p"])
    assert (found.emb_size, found.dropouts) == (77, mine.dropouts)
    assert found.hidden_size == 1150


def test_the_plan_in_one_line() -> None:
    suggestion = suggest(ENGLISH, CPU)
    line = describe(filled(PretrainSettings(), suggestion.values, ()), suggestion.reason)
    assert line == (
        "plan: at most 30,000 words, 256 / 640 x 2, batch 64 x 70, 1 pass (30,000,000 words on "
        "2 processors; 5% of words of its kind would be unknown to 30,000); --set changes any of it"
    )


def test_the_plan_names_the_tokens_that_it_stops_at() -> None:
    line = describe(PretrainSettings(epochs=3, max_tokens=2_000_000), "why")
    assert ", 3 passes or 2,000,000 tokens, whichever is less (why)" in line


def seconds_of(settings: PretrainSettings, speed: Speed, sizes: tuple[int, int]) -> float:
    """What the run will take at the measured speed, a validation at the end of each pass too."""
    assert settings.max_tokens is not None
    assert settings.validate_every is not None
    steps = settings.max_tokens // (settings.batch_size * settings.bptt)
    pass_steps = -(-(sizes[0] // settings.batch_size - 1) // settings.bptt)
    ends = {*range(pass_steps, steps, pass_steps), steps}
    validations = ends | {*range(settings.validate_every, steps, settings.validate_every)}
    scored = len(validations) * min(sizes[1], 100_000) + sizes[1]
    return settings.max_tokens / speed.training + scored / speed.scoring


@pytest.mark.parametrize("seconds", [600, 3600, 40_000])
@pytest.mark.parametrize("speed", [Speed(4_000, 3_000), Speed(200_000, 400_000)])
def test_the_schedule_ends_in_time_and_uses_it(seconds: float, speed: Speed) -> None:
    corpus = (400_000_000, 400_000)
    found = fit_budget(PretrainSettings(), seconds, speed, corpus, (64, 70))
    assert 0.85 * seconds < seconds_of(found, speed, corpus) < seconds
    assert found.epochs == -(-found.max_tokens // corpus[0])  # type: ignore[operator]


@pytest.mark.parametrize("seconds", [120, 180, 300, 600])
@pytest.mark.parametrize("n_tokens", [300_000, 1_600_000])
@pytest.mark.parametrize("share", [0.01, 0.1])
def test_a_few_minutes_are_used_and_kept(seconds: float, n_tokens: int, share: float) -> None:
    corpus, speed = (n_tokens, int(share * n_tokens)), Speed(4_000, 3_300)
    found = fit_budget(PretrainSettings(), seconds, speed, corpus, (64, 70))
    assert 0.89 * seconds < seconds_of(found, speed, corpus) <= 0.95 * seconds


def test_a_small_corpus_is_not_read_for_days() -> None:
    found = fit_budget(PretrainSettings(), 1e6, Speed(4_000, 3_000), (100_000, 20_000), (64, 70))
    assert found.epochs == MOST_BUDGET_EPOCHS


def test_no_time_at_all() -> None:
    with pytest.raises(
        InputError, match=r"10 seconds are not enough: a step takes 4\.5 and scoring"
    ):
        fit_budget(PretrainSettings(), 10, Speed(1_000, 1_000), (10**6, 10**6), (64, 70))


def test_the_second_direction_gets_less_where_it_starts_from_the_first() -> None:
    assert shares(["forward", "backward"], chained=True) == {"forward": 0.6, "backward": 0.4}
    assert shares(["forward", "backward"], chained=False) == {"forward": 0.5, "backward": 0.5}
    assert shares(["backward"], chained=True) == {"backward": 1.0}
