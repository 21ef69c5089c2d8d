from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from ulmfit import settings
from ulmfit.config import Frozen
from ulmfit.presets import PRESETS, load_settings
from ulmfit.settings import (
    ClassifierSettings,
    FinetuneLMSettings,
    LMSettings,
    NGramSettings,
    OptimizerSettings,
    PretrainSettings,
    RateSettings,
    ScheduleSettings,
    SelfTrainingSettings,
    Settings,
    TextSettings,
)

GROUPS: list[type[Frozen]] = [
    OptimizerSettings,
    ScheduleSettings,
    RateSettings,
    TextSettings,
    LMSettings,
    PretrainSettings,
    FinetuneLMSettings,
    ClassifierSettings,
    SelfTrainingSettings,
    NGramSettings,
    Settings,
]
SOURCE = re.compile(r"paper|released|fastai|ours|AWD-LSTM|docs/log", re.IGNORECASE)


def test_groups_are_all_there_are() -> None:
    found = {item for _, item in inspect.getmembers(settings, inspect.isclass)}
    assert {item for item in found if item.__module__ == settings.__name__} == set(GROUPS)


@pytest.mark.parametrize("preset", PRESETS)
def test_json_and_back(preset: str) -> None:
    values = load_settings(preset)
    assert Settings.model_validate_json(values.model_dump_json()) == values
    assert Settings(**json.loads(values.model_dump_json())) == values


@pytest.mark.parametrize("group", GROUPS)
def test_unknown_names_are_refused(group: type[Frozen]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        group.model_validate({"zzz": 1})


def test_values_cannot_be_reassigned() -> None:
    values = Settings()
    with pytest.raises(ValidationError, match="Instance is frozen"):
        values.classifier.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("group", "name", "bad"),
    [
        (OptimizerSettings, "beta1", 1.0),
        (OptimizerSettings, "beta2", -0.1),
        (OptimizerSettings, "eps", 0.0),
        (OptimizerSettings, "weight_decay", -1e-9),
        (OptimizerSettings, "clip", 0.0),
        (ScheduleSettings, "cut_frac", 0.0),
        (ScheduleSettings, "cut_frac", 1.0),
        (ScheduleSettings, "ratio", 0.5),
        (ScheduleSettings, "frozen_cut_frac", 1.0),
        (RateSettings, "lr", 0.0),
        (RateSettings, "factor", 0.9),
        (TextSettings, "vocab_size", 9),
        (TextSettings, "min_freq", 0),
        (LMSettings, "epochs", 0),
        (LMSettings, "max_tokens", 0),
        (LMSettings, "batch_size", 0),
        (LMSettings, "bptt", 1),
        (LMSettings, "ar_alpha", -1.0),
        (LMSettings, "tar_beta", -1.0),
        (LMSettings, "softmax_samples", 0),
        (LMSettings, "patience", 0),
        (LMSettings, "valid_fraction", 1.0),
        (PretrainSettings, "emb_size", 0),
        (PretrainSettings, "hidden_size", 0),
        (PretrainSettings, "n_layers", 0),
        (FinetuneLMSettings, "max_vocab", 9),
        (FinetuneLMSettings, "min_freq", 0),
        (ClassifierSettings, "epochs", 0),
        (ClassifierSettings, "max_tokens", 0),
        (ClassifierSettings, "batch_size", 0),
        (ClassifierSettings, "chunk", 0),
        (ClassifierSettings, "pool_tokens", 0),
        (ClassifierSettings, "grad_tokens", 0),
        (ClassifierSettings, "head_size", 0),
        (ClassifierSettings, "patience", 0),
        (ClassifierSettings, "valid_fraction", 0.0),
        (ClassifierSettings, "head_p", (0.4, 1.0)),
        (ClassifierSettings, "unfreeze_steps", (1, 0)),
        (RateSettings, "shares", (0.5, -1.0)),
        (ClassifierSettings, "unfreezing", "none"),
        (ClassifierSettings, "class_weights", "yes"),
    ],
)
def test_values_out_of_range_are_refused(group: type[Frozen], name: str, bad: object) -> None:
    with pytest.raises(ValidationError) as caught:
        group.model_validate({"lr": 1.0, name: bad} if group is RateSettings else {name: bad})
    assert {fault["loc"][0] for fault in caught.value.errors()} == {name}


def documented(tree: ast.ClassDef) -> dict[str, str]:
    """What the docstring of a class says of each attribute."""
    _, _, entries = (ast.get_docstring(tree) or "").partition("Attributes:\n")
    return dict(re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", entries, re.MULTILINE))


def fields() -> Iterator[tuple[str, str, str, object]]:
    """Of each setting: its class, its name, all that is said of it beside it, its default."""
    source = inspect.getsource(settings)
    lines = source.splitlines()
    described: dict[str, dict[str, str]] = {}
    for tree in ast.parse(source).body:
        if not isinstance(tree, ast.ClassDef):
            continue
        inherited = described.get(ast.unparse(tree.bases[0]), {})
        described[tree.name] = inherited | documented(tree)
        comment = ""  # one above a field is about those below it, too
        for node in tree.body:
            if isinstance(node, ast.AnnAssign):
                assert isinstance(node.target, ast.Name)
                name, line = node.target.id, node.lineno - 1
                if lines[line - 1].strip().startswith("#"):
                    start = line
                    while lines[start - 1].strip().startswith("#"):
                        start -= 1
                    comment = "\n".join(lines[start:line])
                said = described[tree.name].get(name, "")
                _, _, beside = lines[line].partition("#")
                default = getattr(settings, tree.name).model_fields[name].default
                yield tree.name, name, f"{said}\n{beside}\n{comment}", default


def test_plain_settings_are_described() -> None:
    blank = [
        f"{group}.{name}"
        for group, name, said, default in fields()
        if not isinstance(default, Frozen) and not said.strip()
    ]
    assert set(blank) <= {"ClassifierSettings.ar_alpha", "ClassifierSettings.tar_beta"}


def test_numbers_name_their_source() -> None:
    numbers = [
        f"{group}.{name}"
        for group, name, said, default in fields()
        if isinstance(default, int | float | tuple) and default not in (False, ())
        if not SOURCE.search(said)
    ]
    assert numbers == []
