"""What a person has chosen is known, and refused where another setting leaves it without effect."""

from __future__ import annotations

from pathlib import Path

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
            {"classifier.optimizer": {"kind": "nt_asgd", "beta1": 0.9}},
            "classifier.optimizer.beta1 changes nothing where classifier.optimizer.kind is "
            "'nt_asgd'",
        ),
        (
            {"classifier.unfreezing": "full", "classifier.unfreeze_steps": [1, 2]},
            "classifier.unfreeze_steps changes nothing where classifier.unfreezing is 'full'",
        ),
        (
            {"classifier.unfreezing": "chain_thaw", "classifier.rates.lr": 0.01},
            "classifier.rates.lr changes nothing where classifier.unfreezing is 'chain_thaw'",
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


def test_a_setting_without_effect_in_a_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[classifier.schedule]\nkind = 'stlr'\nratio = 16\n")
    assert load_settings(file=path).classifier.schedule.ratio == 16
    with pytest.warns(UserWarning, match=r"a\.toml': classifier\.schedule\.ratio changes nothing"):
        load_settings(file=path, overrides={"classifier.schedule.kind": "cosine"})


def test_what_a_file_names_is_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[pretrain]\nepochs = 3\n[pretrain.text]\nkind = 'bpe'\n")
    assert load_settings(file=path).pretrain.by_hand == {"epochs", "text"}
    found = load_settings(file=path, overrides={"pretrain.dropouts.output_p": "0.1"})
    assert found.pretrain.by_hand == {"epochs", "text", "dropouts"}
    assert found.classifier.by_hand == load_settings().pretrain.by_hand == frozenset()
    whole = load_settings(overrides={"classifier": {"epochs": 15, "batch_size": 8}})
    assert whole.classifier.by_hand == {"epochs", "batch_size"}
    assert whole.kept_defaults == ["classifier.epochs"]
    assert load_settings(overrides={"finetune_lm": None}).kept_defaults == []
    path.write_text("[classifier]\nepochs = 15\n")
    both = load_settings(file=path, overrides={"classifier": {"batch_size": 64}})
    assert both.kept_defaults == ["classifier.batch_size", "classifier.epochs"]
    inline = load_settings(overrides={"pretrain": "{emb_size = 123, text.kind = 'bpe'}"})
    assert inline.pretrain.by_hand == {"emb_size", "text"}
