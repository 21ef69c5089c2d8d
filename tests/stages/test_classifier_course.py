"""Passes, batches and rounds by how much there is to read."""

from __future__ import annotations

import numpy as np

from ulmfit.optim.unfreezing import Phase
from ulmfit.settings import ClassifierSettings, RateSettings
from ulmfit.stages.classifier_course import (
    course_of,
    fitted_to_length,
    rounds_of_pass,
    unfreezing_plan,
)


def fitted(documents: int, tokens: int = 10, **changes: object) -> ClassifierSettings:
    """Settings for so many documents of so many tokens."""
    read = [np.zeros(tokens, dtype=np.int32)] * documents
    return fitted_to_length(ClassifierSettings.model_validate(changes), read)


def test_the_wait_can_be_bounded() -> None:
    assert fitted(100, epochs=8, max_tokens=None).epochs == 8
    assert fitted(10, epochs=8, max_tokens=1000).epochs == 8
    assert fitted(30, epochs=8, max_tokens=1000).epochs == 3
    assert fitted(10_000, epochs=8, max_tokens=1000).epochs == 2
    assert fitted(10_000, epochs=1, max_tokens=1000).epochs == 1


def test_what_would_be_one_batch_becomes_two() -> None:
    assert [fitted(n).batch_size for n in (65, 64, 63, 40, 20, 2)] == [64, 32, 32, 20, 16, 16]
    assert fitted(40, batch_size=30).batch_size == 30
    assert fitted(40, by_length=False).batch_size == 64


def test_many_documents_need_fewer_passes_and_these_less_dropout() -> None:
    usual = ClassifierSettings()
    assert fitted(100) == fitted(2_000) == usual
    assert fitted(64 * 50) == usual.model_copy(update={"epochs": 12})
    many = {"epochs": 8, "dropouts": usual.dropouts.scaled(0.5)}
    assert fitted(4_907) == fitted(30_000) == usual.model_copy(update=many)
    assert fitted(3_840) == usual.model_copy(update={**many, "epochs": 10})
    assert fitted(3_520) == usual.model_copy(update={"epochs": 11}), "more than few"
    assert fitted(4_907, by_length=False) == ClassifierSettings(by_length=False)
    assert fitted(4_907, by_length=False, max_tokens=1).dropouts == usual.dropouts
    assert fitted(200, epochs=5) == ClassifierSettings(epochs=5), "few passes are wanted"
    own = usual.dropouts.scaled(0.1)
    assert fitted(4_907, epochs=14, dropouts=own.model_dump()).epochs == 14, "set"
    assert fitted(4_907, dropouts=own.model_dump()).dropouts == own, "what is set stays as it is"


def test_few_long_documents_are_read_in_smaller_batches() -> None:
    assert fitted(100, 50_000).batch_size == 8
    assert fitted(600, 10_000).batch_size == 20
    assert fitted(22_500, 280).batch_size == 64
    assert fitted(100, 10, epochs=15, max_tokens=15_000).batch_size == 64, "all passes fit"
    assert fitted(100, 50_000, batch_size=32).batch_size == 32, "set"
    assert fitted(100, 50_000, by_length=False).batch_size == 64


def test_few_passes_are_cut_into_rounds() -> None:
    asked = ClassifierSettings()
    settings, rounds = course_of(asked, [np.zeros(280, dtype=np.int32)] * 22_500)
    assert (settings, rounds) == (fitted(22_500, 280), 6)
    found = {epochs: rounds_of_pass(asked, epochs, 350) for epochs in (1, 2, 3, 5, 7, 8, 15)}
    assert found == {1: 12, 2: 6, 3: 4, 5: 3, 7: 2, 8: 1, 15: 1}
    assert rounds_of_pass(asked, 2, 4) == 4, "as many as there are batches for"
    assert rounds_of_pass(asked, 2, 0) == 1
    assert rounds_of_pass(ClassifierSettings(epochs=2), 2, 350) == 1, "set"
    assert rounds_of_pass(ClassifierSettings(by_length=False), 2, 350) == 1
    few = asked.model_copy(update={"epochs": 2})
    lengths = [phase.epochs for phase in unfreezing_plan(few, 4, rounds=6)]
    assert lengths == [1, 1, 1, 9]
    assert [phase.epochs for phase in unfreezing_plan(few, 4)] == [1, 1]


def test_plans_by_name() -> None:
    def plan(unfreezing: str) -> list[Phase]:
        rates = RateSettings(lr=0.01, factor=10)
        asked = {"unfreezing": unfreezing, "epochs": 4, "rates": rates.model_dump()}
        return unfreezing_plan(ClassifierSettings.model_validate(asked), 2)

    assert plan("full") == [Phase(4, (0.001, 0.01))]
    assert plan("last") == [Phase(4, (None, 0.01))]
    assert plan("gradual") == [Phase(1, (None, 0.01)), Phase(3, (0.001, 0.01))]
    # Each group alone at 1e-3, the head first, then all of them at 1e-4.
    alone = [Phase(1, (None, 1e-3)), Phase(1, (1e-3, None))]
    assert plan("chain_thaw") == [*alone, Phase(2, (1e-4, 1e-4))]
