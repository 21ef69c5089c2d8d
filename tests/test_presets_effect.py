"""Settings that another one leaves without effect are refused, and count again with the other."""

from __future__ import annotations

import pytest

from ulmfit.errors import SettingsError
from ulmfit.presets import load_settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"classifier.schedule.ratio": 16, "classifier.schedule.kind": "cosine"},
            "classifier.schedule.ratio changes nothing where classifier.schedule.kind is 'cosine'",
        ),
        (
            {"pretrain.schedule.cut_frac": 0.2},
            "pretrain.schedule.cut_frac changes nothing where pretrain.schedule.kind is "
            "'warmup_stable_decay'",
        ),
        (
            {"finetune_lm.optimizer.beta1": 0.9, "finetune_lm.optimizer.kind": "nt_asgd"},
            "finetune_lm.optimizer.beta1 changes nothing where finetune_lm.optimizer.kind is "
            "'nt_asgd'",
        ),
        (
            {"pretrain.rates.shares": [0.5, 1], "pretrain.rates.factor": 2},
            "pretrain.rates.shares changes nothing where pretrain.rates.kind is 'uniform'\n"
            "  pretrain.rates.factor changes nothing where pretrain.rates.kind is 'uniform'",
        ),
    ],
)
def test_a_setting_without_effect_is_a_fault(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(overrides=changes)
    assert str(caught.value).startswith(message)


def test_a_setting_counts_again_with_the_other_one() -> None:
    changes = {"schedule.kind": "stlr", "schedule.cut_frac": 0.2, "schedule.ratio": 16}
    found = load_settings(overrides={f"pretrain.{key}": value for key, value in changes.items()})
    assert found.pretrain.schedule.model_dump(include={"kind", "cut_frac", "ratio"}) == {
        "kind": "stlr",
        "cut_frac": 0.2,
        "ratio": 16,
    }
