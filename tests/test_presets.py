from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from ulmfit.cli.training_runs import read_settings
from ulmfit.errors import SettingsError
from ulmfit.optim.unfreezing import Phase
from ulmfit.presets import PRESETS, load_settings
from ulmfit.settings import ClassifierSettings, FinetuneLMSettings, Settings
from ulmfit.stages.classifier_course import unfreezing_plan
from ulmfit.stages.rates import group_rates

LM_GROUPS, CLASSIFIER_GROUPS = 4, 5  # embedding, three LSTM layers; and the head


def stages(preset: str) -> tuple[FinetuneLMSettings, ClassifierSettings]:
    settings = load_settings(preset)
    assert settings.finetune_lm is not None
    return settings.finetune_lm, settings.classifier


def planned(classifier: ClassifierSettings) -> list[Phase]:
    return unfreezing_plan(classifier, CLASSIFIER_GROUPS)


def fault(**overrides: object) -> str:
    """The message for overrides given as `classifier__epochs=0`."""
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    with pytest.raises(SettingsError) as caught:
        load_settings(overrides=dotted)
    return str(caught.value)


def test_default_is_what_settings_say() -> None:
    assert load_settings() == Settings()


def test_paper_has_the_numbers_in_print() -> None:
    lm, classifier = stages("paper")
    for stage in (lm, classifier):
        assert stage.batch_size == 64
        assert stage.dropouts.model_dump() == {
            "output_p": 0.4,
            "hidden_p": 0.3,
            "input_p": 0.4,
            "embed_p": 0.05,
            "weight_p": 0.5,
        }
        adam, schedule = stage.optimizer, stage.schedule
        assert (adam.kind, adam.beta1, adam.beta2) == ("adam", 0.7, 0.99)
        assert (adam.weight_decay, adam.clip) == (0.0, None), "not in print"
        assert (stage.ar_alpha, stage.tar_beta) == (0.0, 0.0), "not in print"
        assert (schedule.kind, schedule.cut_frac, schedule.ratio) == ("stlr", 0.1, 32)
        assert (schedule.scope, schedule.frozen_cut_frac) == ("run", None)
        assert (stage.rates.kind, stage.rates.factor) == ("divide", 2.6)
    assert (lm.rates.lr, lm.epochs, lm.bptt, lm.vary_bptt) == (0.004, 15, 70, True)
    assert (lm.max_tokens, lm.softmax_samples) == (None, None)
    assert (classifier.rates.lr, classifier.epochs, classifier.chunk) == (0.01, 50, 70)
    assert (classifier.head_size, classifier.head_p) == (50, (0.4, 0.1))
    assert classifier.pool_tokens is None
    assert classifier.unfreezing == "gradual"
    thawed = [sum(rate is not None for rate in p.rates) for p in planned(classifier)]
    assert thawed == [1, 2, 3, 4, 5]
    assert group_rates(classifier.rates, 3) == pytest.approx([0.01 / 2.6**2, 0.01 / 2.6, 0.01])


def test_paper_pretrains_the_printed_architecture() -> None:
    pretrain = load_settings("paper").pretrain
    assert (pretrain.emb_size, pretrain.hidden_size, pretrain.n_layers) == (400, 1150, 3)
    assert (pretrain.bptt, pretrain.vary_bptt, pretrain.batch_size) == (70, True, 64)
    assert pretrain.dropouts == stages("paper")[0].dropouts
    assert (pretrain.optimizer.beta1, pretrain.optimizer.beta2) == (0.7, 0.99)


def test_released_code_has_the_numbers_of_the_scripts() -> None:
    lm, classifier = stages("released-code")
    assert lm.dropouts.model_dump() == {
        "output_p": 0.1,
        "hidden_p": 0.15,
        "input_p": 0.25,
        "embed_p": 0.02,
        "weight_p": 0.2,
    }
    assert group_rates(lm.rates, LM_GROUPS) == pytest.approx(
        [0.004 / 2, 0.004 / 6, 0.004 / 3, 0.004]
    )
    assert (lm.schedule.kind, lm.schedule.cut_frac, lm.schedule.ratio) == ("stlr", 0.1, 32)
    assert (lm.batch_size, lm.bptt, lm.vary_bptt) == (64, 70, True)
    assert (lm.optimizer.clip, lm.optimizer.weight_decay) == (0.3, 1e-7)
    assert (classifier.optimizer.clip, classifier.optimizer.weight_decay) == (25, 1e-6)
    for stage in (lm, classifier):
        assert (stage.optimizer.beta1, stage.optimizer.beta2) == (0.8, 0.99)
        assert (stage.ar_alpha, stage.tar_beta) == (2, 1)
    assert classifier.dropouts.model_dump() == stages("paper")[1].dropouts.model_dump()
    assert (classifier.batch_size, classifier.head_p) == (32, (0.4, 0.1))
    assert (classifier.pool_tokens, classifier.chunk) == (20 * 70, 70)
    schedule = classifier.schedule
    assert (schedule.kind, schedule.scope, schedule.ratio) == ("stlr", "phase", 8)
    assert (schedule.frozen_cut_frac, schedule.cut_frac) == (1 / 3, 1 / 8)
    plan = planned(classifier)
    assert [(sum(rate is not None for rate in p.rates), p.epochs) for p in plan] == [
        (1, 1),
        (2, 1),
        (5, 48),
    ]
    assert plan[-1].rates == pytest.approx([0.01 / 2.6**n for n in (4, 3, 2, 1, 0)])


def test_released_code_pretrains_as_pretrain_lm_does() -> None:
    pretrain = load_settings("released-code").pretrain
    assert (pretrain.emb_size, pretrain.hidden_size, pretrain.n_layers) == (400, 1150, 3)
    assert (pretrain.bptt, pretrain.batch_size, pretrain.epochs) == (70, 64, 12)
    assert pretrain.dropouts == stages("released-code")[0].dropouts.scaled(0.5)
    assert (pretrain.softmax_samples, pretrain.text.vocab_size) == (15_000, 30_000)
    assert (pretrain.optimizer.clip, pretrain.optimizer.weight_decay) == (0.3, 1e-7)
    rates = group_rates(pretrain.rates, LM_GROUPS)
    assert rates == pytest.approx([1e-3, 1e-3 / 6, 1e-3 / 3, 1e-3])


def test_fastai2_pretrains_as_train_wt103_does() -> None:
    pretrain = load_settings("fastai2").pretrain
    assert (pretrain.emb_size, pretrain.hidden_size, pretrain.n_layers) == (400, 1152, 3)
    assert (pretrain.bptt, pretrain.batch_size, pretrain.epochs) == (80, 256, 12)
    assert pretrain.dropouts == stages("fastai2")[0].dropouts.scaled(0.1)
    assert (pretrain.optimizer.clip, pretrain.optimizer.weight_decay) == (0.1, 0.1)
    assert (pretrain.rates.kind, pretrain.rates.lr) == ("uniform", 1e-2)
    assert pretrain.text.vocab_size == 60_000


def test_fastai2_has_the_numbers_of_fastai() -> None:
    lm, classifier = stages("fastai2")
    assert lm.dropouts.model_dump() == stages("released-code")[0].dropouts.model_dump()
    half = {"output_p": 0.2, "hidden_p": 0.15, "input_p": 0.2, "embed_p": 0.025, "weight_p": 0.25}
    assert classifier.dropouts.model_dump() == pytest.approx(half), "drop_mult is 0.5"
    assert (lm.bptt, lm.vary_bptt, classifier.chunk) == (72, False, 72)
    assert (classifier.pool_tokens, classifier.grad_tokens) == (1440, 1440)
    assert classifier.head_p == (0.2, 0.1)
    for stage in (lm, classifier):
        adam, schedule = stage.optimizer, stage.schedule
        assert (adam.beta1, adam.beta2, adam.eps, adam.clip) == (0.8, 0.99, 1e-5, None)
        assert (schedule.kind, schedule.cut_frac) == ("one_cycle", 0.25)
        assert (stage.ar_alpha, stage.tar_beta, stage.batch_size) == (2, 1, 64)
    assert (lm.optimizer.weight_decay, classifier.optimizer.weight_decay) == (0.1, 0.01)
    assert (lm.epochs, group_rates(lm.rates, 2)) == (11, [1e-3, 1e-3])
    plan = planned(classifier)
    assert [(sum(rate is not None for rate in p.rates), p.epochs) for p in plan] == [
        (1, 1),
        (2, 1),
        (3, 1),
        (5, 2),
    ]
    assert plan[-1].rates == pytest.approx([0.01 / 2.6**n for n in (4, 3, 2, 1, 0)])


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_say_all_that_another_default_would_change(preset: str) -> None:
    def leaves(tree: dict[str, object]) -> set[str]:
        return {
            ".".join([key, inner]) if inner else key
            for key, value in tree.items()
            for inner in (leaves(value) if isinstance(value, dict) else {""})
        }

    # Of no effect in a preset that does not use them, or the data's business, not the recipe's.
    free = {"patience", "valid_fraction", "class_weights", "head_size"}
    free |= {"vocab", "kind", "ratio", "scope", "frozen_cut_frac", "factor", "shares"}
    free |= {"unfreeze_steps", "share"}
    if preset != "default":
        left = leaves(Settings().model_dump()) - leaves(PRESETS[preset])
        named = {key for key in left if key.split(".")[-1] not in free}
        assert named - {"finetune_lm.validate_every"} == set()


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("papper", " Did you mean 'paper'?"),
        ("fastai", " Did you mean 'fastai2'?"),
        ("released_code", " Did you mean 'released-code'?"),
        ("zzz", ""),
    ],
)
def test_unknown_preset_offers_the_nearest(given: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(given)
    assert str(caught.value) == (
        f"preset '{given}' is unknown: "
        f"expected one of default, paper, released-code, fastai2.{hint}"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), (5, 5), (np.int64(5), 5), ("5.0", 5), ("5e0", 5), (np.float32(5), 5)],
)
def test_whole_numbers_come_in_any_form(text: object, value: int) -> None:
    assert load_settings(overrides={"classifier.epochs": text}).classifier.epochs == value


def test_overrides_change_one_value_and_keep_its_neighbours() -> None:
    overrides = {
        "finetune_lm.rates.kind": "uniform",
        "finetune_lm.dropouts.output_p": 0.3,
        "finetune_lm.max_tokens": "1e6",
        "classifier.head_p": "[0.2, 0.2]",
        "classifier.unfreeze_steps": (1, 2),
        "classifier.grad_tokens": "none",
        "classifier.patience": "3",
        "classifier.class_weights": "balanced",
    }
    settings = load_settings("paper", overrides=overrides)
    lm, classifier = settings.finetune_lm, settings.classifier
    assert lm is not None
    assert (lm.rates.kind, lm.rates.lr, lm.max_tokens) == ("uniform", 0.004, 1_000_000)
    assert (lm.dropouts.output_p, lm.dropouts.input_p) == (0.3, 0.4)
    assert (classifier.head_p, classifier.unfreeze_steps) == ((0.2, 0.2), (1, 2))
    assert (classifier.grad_tokens, classifier.patience) == (None, 3)
    assert classifier.class_weights == "balanced"


def test_part_of_a_table_does_for_the_default_preset() -> None:
    settings = load_settings(overrides={"classifier.rates.kind": "uniform"})
    assert (settings.classifier.rates.kind, settings.classifier.rates.lr) == ("uniform", 0.02)


def test_lm_fine_tuning_can_be_left_out() -> None:
    assert load_settings(overrides={"finetune_lm": "none"}).finetune_lm is None
    assert load_settings("paper", overrides={"finetune_lm": None}).finetune_lm is None


@pytest.mark.parametrize("value", ["none", "null", None])
def test_none_is_one_of_the_choices_of_class_weights(value: object) -> None:
    settings = load_settings(overrides={"classifier.class_weights": value})
    assert settings.classifier.class_weights == "none"


def literals(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each choice of each setting that is a choice between words."""
    for name, field in model.model_fields.items():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from literals(part, f"{prefix}{name}.")
        if get_origin(field.annotation) is Literal:
            yield from ((f"{prefix}{name}", choice) for choice in get_args(field.annotation))


@pytest.mark.parametrize(("key", "choice"), list(literals(Settings)))
def test_every_choice_can_be_given_as_text(key: str, choice: str) -> None:
    found: object = load_settings(overrides={key: choice})
    for name in key.split("."):
        found = getattr(found, name)
    assert found == choice


def test_overrides_beat_the_file_and_the_file_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(
        "\ufeff[classifier]\r\nepochs = 7\r\nbatch_size = 8\r\n"
        "[classifier.rates]\r\nlr = 1\r\n".encode()
    )
    settings = load_settings("paper", file=file, overrides={"classifier.epochs": "9"})
    assert (settings.classifier.epochs, settings.classifier.batch_size) == (9, 8)
    assert (settings.classifier.rates.lr, settings.classifier.rates.kind) == (1.0, "divide")
    assert settings.classifier.schedule == stages("paper")[1].schedule


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[classifier]\nepochs = 0\n[finetune_lm.rates]\nlr = inf\n")
    overrides = {"classifier.unfreezing": "gradul", "classifier.epoch": "3", "classifier.clip": "1"}
    with pytest.raises(SettingsError) as caught:
        load_settings(file=file, overrides=overrides)
    assert str(caught.value).splitlines() == [
        "5 settings are wrong:",
        '  finetune_lm.rates.lr = "inf": expected a number',
        "  classifier.epochs = 0: expected greater than or equal to 1",
        "  classifier.unfreezing = \"gradul\": expected 'gradual', 'chain_thaw', 'last' or 'full'"
        " (did you mean 'gradual'?)",
        "  classifier.epoch is no setting (did you mean 'classifier.epochs'?)",
        "  classifier.clip is no setting (did you mean 'classifier.optimizer.clip'?).",
    ]


def test_unknown_keys_offer_what_there_is() -> None:
    assert "classifer is no setting (did you mean 'classifier'?)" in fault(classifer__epochs=1)
    either = "did you mean 'pretrain.epochs', 'finetune_lm.epochs' or 'classifier.epochs'?"
    assert f"epochs is no setting ({either})" in fault(epochs=3)
    known = "(known: pretrain, finetune_lm, classifier, self_training, ngrams)"
    assert f"zzz is no setting {known}" in fault(zzz=3)
    assert f"'' is no setting {known}" in fault(**{"": 3})
    left_out = fault(self_training__pool=3)
    assert "self_training.pool is no setting (known: documents, epochs)" in left_out


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x", 'classifier.epochs = "x": expected a whole number'),
        ("1.5", "classifier.epochs = 1.5: expected a whole number"),
        ("true", "classifier.epochs = true: expected a whole number"),
        ("none", "classifier.epochs = none: expected a whole number"),
        ("", 'classifier.epochs = "": expected a whole number'),
        (float("nan"), 'classifier.epochs = "nan": expected a whole number'),
        ([1], "classifier.epochs = [1]: expected a whole number"),
        (datetime.date(2020, 1, 2), 'classifier.epochs = "2020-01-02": expected a whole number'),
        (Path("a"), 'classifier.epochs = "a": expected a whole number'),
    ],
)
def test_value_of_the_wrong_kind(value: object, message: str) -> None:
    assert fault(classifier__epochs=value) == f"1 setting is wrong:\n  {message}."


def test_value_in_place_of_a_table_and_the_other_way_round() -> None:
    assert "classifier = 5: expected a table" in fault(classifier=5)
    assert "classifier.epochs = {" in fault(classifier__epochs__first=5)


def test_lists_of_the_wrong_length() -> None:
    assert "classifier.head_p has too few values" in fault(classifier__head_p=[0.1])
    assert "classifier.head_p = [0, 0, 0]" in fault(classifier__head_p=[0, 0, 0])


def test_settings_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"settings file '.*none\.toml' does not exist\."):
        load_settings(file=tmp_path / "none.toml")


@pytest.mark.parametrize("content", [b"[classifier", b"\xff\xfe\x00", b"epochs: 5"])
def test_settings_file_that_is_no_toml(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"'.*settings\.toml' cannot be read: .*expected TOML"):
        load_settings(file=file)
    with pytest.raises(SettingsError, match=r"cannot be read: .*directory"):
        load_settings(file=tmp_path)


KEYS = st.sampled_from(
    ["classifier.epochs", "classifier.head_p", "finetune_lm", "finetune_lm.optimizer.clip", "x.y"]
) | st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@hypothesis.settings(deadline=None, max_examples=200)
@given(st.dictionaries(KEYS, VALUES, max_size=3))
def test_any_override_is_a_setting_or_named_as_a_fault(changes: dict[str, object]) -> None:
    try:
        load_settings(overrides=changes)
    except SettingsError as error:
        assert 10 < len(str(error)) < 3000


@hypothesis.settings(deadline=None, max_examples=200)
@given(st.text(max_size=60), st.text(max_size=30))
def test_any_option_is_a_setting_or_named_as_a_fault(value: str, key: str) -> None:
    for change in (f"classifier.epochs={value}", f"{key}={value}", value):
        try:
            read_settings("default", None, [change])
        except SettingsError as error:
            assert 10 < len(str(error)) < 3000


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="there is no /dev/fd here")
def test_a_file_that_can_be_read_once_is_read_once() -> None:
    end, start = os.pipe()
    os.write(start, b"[pretrain]\nepochs = 3\n")
    os.close(start)
    found = load_settings(file=Path(f"/dev/fd/{end}")).pretrain
    os.close(end)
    assert found.epochs == 3
    assert found.by_hand == {"epochs"}
