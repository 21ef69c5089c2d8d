"""Named settings, and how files and flags change them."""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import ValidationError

from ulmfit.config import PAPER_DROPOUTS, RELEASED_LM_DROPOUTS
from ulmfit.errors import SettingsError
from ulmfit.settings import SelfTrainingSettings, Settings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Tree = dict[str, Any]
# Nothing depends on how much there is to read.
_AS_GIVEN: Tree = {"max_tokens": None, "by_length": False}
_LM_AS_GIVEN: Tree = {**_AS_GIVEN, "least_steps": 1}
_WHOLE_PASSES: Tree = {"max_tokens": None, "least_steps": 1, "validate_every": None}
_NOT_THE_PAPERS: Tree = {"self_training": None, "ngrams": None}
# As printed: sections 3 and 4.1. What the print leaves open is set to nothing (weight decay,
# clipping, AR, TAR); or taken from the released code: the head's dropouts, and how many tokens
# gradients flow through (print: "as many as fit in memory"); epochs and rate of pretraining.
PAPER: Tree = {
    **_NOT_THE_PAPERS,
    "pretrain": {
        "text": {"kind": "word", "vocab_size": 30_000, "min_freq": 2},
        "emb_size": 400,
        "hidden_size": 1150,
        "n_layers": 3,
        "epochs": 12,
        "batch_size": 64,
        "bptt": 70,
        "vary_bptt": True,
        "dropouts": PAPER_DROPOUTS,
        "ar_alpha": 0.0,
        "tar_beta": 0.0,
        **_WHOLE_PASSES,
        "softmax_samples": None,
        "optimizer": {"beta1": 0.7, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.0, "clip": None},
        "schedule": {"kind": "stlr", "cut_frac": 0.1, "ratio": 32},
        "rates": {"lr": 1e-3, "kind": "uniform"},
    },
    "finetune_lm": {
        "epochs": 15,
        "batch_size": 64,
        "bptt": 70,
        "vary_bptt": True,
        "dropouts": PAPER_DROPOUTS,
        "ar_alpha": 0.0,
        "tar_beta": 0.0,
        **_LM_AS_GIVEN,
        "softmax_samples": None,
        "vocab": "task",
        "max_vocab": 60_000,
        "min_freq": 2,
        "optimizer": {"beta1": 0.7, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.0, "clip": None},
        "schedule": {"kind": "stlr", "cut_frac": 0.1, "ratio": 32},
        "rates": {"lr": 4e-3, "kind": "divide", "factor": 2.6},
    },
    "classifier": {
        "epochs": 50,
        **_AS_GIVEN,
        "batch_size": 64,
        "chunk": 70,
        "pool_tokens": None,
        "grad_tokens": 20 * 70,
        "head_p": [0.4, 0.1],
        "dropouts": PAPER_DROPOUTS,
        "ar_alpha": 0.0,
        "tar_beta": 0.0,
        "unfreezing": "gradual",
        "optimizer": {"beta1": 0.7, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.0, "clip": None},
        "schedule": {"kind": "stlr", "cut_frac": 0.1, "ratio": 32},
        "rates": {"lr": 1e-2, "kind": "divide", "factor": 2.6},
    },
}

# fastai 0.7, imdb_scripts: what the authors ran (pretrain_lm.py with its README's example,
# finetune_lm.py, train_clas.py). Its weight decay was added to the gradient; ours is decoupled,
# which at 1e-7 and 1e-6 makes no difference.
RELEASED_CODE: Tree = {
    **_NOT_THE_PAPERS,
    "pretrain": {
        "text": {"kind": "word", "vocab_size": 30_000, "min_freq": 1},
        "emb_size": 400,
        "hidden_size": 1150,
        "n_layers": 3,
        "epochs": 12,
        "batch_size": 64,
        "bptt": 70,
        "vary_bptt": True,
        "dropouts": {name: p * 0.5 for name, p in RELEASED_LM_DROPOUTS.items()},
        "ar_alpha": 2.0,
        "tar_beta": 1.0,
        **_WHOLE_PASSES,
        "softmax_samples": 15_000,
        "optimizer": {"beta1": 0.8, "beta2": 0.99, "eps": 1e-8, "weight_decay": 1e-7, "clip": 0.3},
        "schedule": {"kind": "stlr", "cut_frac": 0.1, "ratio": 32},
        "rates": {"lr": 1e-3, "kind": "shares", "shares": [1.0, 1 / 6, 1 / 3, 1.0]},
    },
    "finetune_lm": {
        "epochs": 15,
        "batch_size": 64,
        "bptt": 70,
        "vary_bptt": True,
        "dropouts": RELEASED_LM_DROPOUTS,
        "ar_alpha": 2.0,
        "tar_beta": 1.0,
        **_LM_AS_GIVEN,
        "softmax_samples": None,
        "vocab": "task",
        "max_vocab": 60_000,
        "min_freq": 2,
        "optimizer": {"beta1": 0.8, "beta2": 0.99, "eps": 1e-8, "weight_decay": 1e-7, "clip": 0.3},
        "schedule": {"kind": "stlr", "cut_frac": 0.1, "ratio": 32},
        "rates": {"lr": 4e-3, "kind": "shares", "shares": [1 / 2, 1 / 6, 1 / 3, 1.0]},
    },
    "classifier": {
        "epochs": 50,
        **_AS_GIVEN,
        "batch_size": 32,
        "chunk": 70,
        "pool_tokens": 20 * 70,
        "grad_tokens": 20 * 70,
        "head_p": [0.4, 0.1],
        "dropouts": PAPER_DROPOUTS,
        "ar_alpha": 2.0,
        "tar_beta": 1.0,
        "unfreezing": "gradual",
        "unfreeze_steps": [1, 2],
        "optimizer": {"beta1": 0.8, "beta2": 0.99, "eps": 1e-8, "weight_decay": 1e-6, "clip": 25},
        "schedule": {
            "kind": "stlr",
            "cut_frac": 1 / 8,
            "frozen_cut_frac": 1 / 3,
            "ratio": 8,
            "scope": "phase",
        },
        "rates": {"lr": 1e-2, "kind": "divide", "factor": 2.6},
    },
}

# fastai 2.8's defaults and its text tutorial (nbs/38_tutorial.text.ipynb): fixed windows,
# one-cycle, drop_mult 1 for the LM and 0.5 for the classifier, unfreezing by hand over the last
# one, two and three groups. Two things come out simpler than there: the LM's first epoch, which
# the tutorial gives to the embedding alone at 1e-2, trains all layers; and one rate serves all
# phases of the classifier, where the tutorial goes 2e-2, 1e-2, 5e-3, 1e-3. Pretraining is
# fastai 1's train_wt103.py, which made the weights that fastai 2 comes with.
FASTAI2: Tree = {
    **_NOT_THE_PAPERS,
    "pretrain": {
        "text": {"kind": "word", "vocab_size": 60_000, "min_freq": 2},
        "emb_size": 400,
        "hidden_size": 1152,
        "n_layers": 3,
        "epochs": 12,
        "batch_size": 256,
        "bptt": 80,
        "vary_bptt": False,
        "dropouts": {name: p * 0.1 for name, p in RELEASED_LM_DROPOUTS.items()},
        "ar_alpha": 2.0,
        "tar_beta": 1.0,
        **_WHOLE_PASSES,
        "softmax_samples": None,
        "optimizer": {"beta1": 0.8, "beta2": 0.99, "eps": 1e-5, "weight_decay": 0.1, "clip": 0.1},
        "schedule": {"kind": "one_cycle", "cut_frac": 0.3},
        "rates": {"lr": 1e-2, "kind": "uniform"},
    },
    "finetune_lm": {
        "epochs": 11,
        "batch_size": 64,
        "bptt": 72,
        "vary_bptt": False,
        "dropouts": RELEASED_LM_DROPOUTS,
        "ar_alpha": 2.0,
        "tar_beta": 1.0,
        **_LM_AS_GIVEN,
        "softmax_samples": None,
        "vocab": "task",
        "max_vocab": 60_000,
        "min_freq": 2,
        "optimizer": {"beta1": 0.8, "beta2": 0.99, "eps": 1e-5, "weight_decay": 0.1, "clip": None},
        "schedule": {"kind": "one_cycle", "cut_frac": 0.25},
        "rates": {"lr": 1e-3, "kind": "uniform"},
    },
    "classifier": {
        "epochs": 5,
        **_AS_GIVEN,
        "batch_size": 64,
        "chunk": 72,
        "pool_tokens": 20 * 72,
        "grad_tokens": 20 * 72,
        "head_p": [0.2, 0.1],
        "dropouts": {name: p * 0.5 for name, p in PAPER_DROPOUTS.items()},
        "ar_alpha": 2.0,
        "tar_beta": 1.0,
        "unfreezing": "gradual",
        "unfreeze_steps": [1, 2, 3],
        "optimizer": {"beta1": 0.8, "beta2": 0.99, "eps": 1e-5, "weight_decay": 0.01, "clip": None},
        "schedule": {"kind": "one_cycle", "cut_frac": 0.25, "scope": "phase"},
        "rates": {"lr": 1e-2, "kind": "log_spaced", "factor": 2.6**4},
    },
}

PRESETS: dict[str, Tree] = {
    "default": {},
    "paper": PAPER,
    "released-code": RELEASED_CODE,
    "fastai2": FASTAI2,
}


def load_settings(
    preset: str = "default",
    *,
    file: Path | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """A preset, changed by a TOML file, changed by single values.

    Example::

        load_settings("paper", overrides={"classifier.epochs": 5, "classifier.rates.lr": "2e-3"})

    Args:
        preset: name of a preset.
        file: TOML with tables `[finetune_lm]`, `[classifier]`, ...; what it leaves out stays as in
            the preset.
        overrides: dotted key -> value: a number, truth value, list, table or None, or text as TOML
            would have it, such as "5", "2e-3", "full", "none".

    Raises:
        SettingsError: unknown preset or key (the nearest is offered), values out of range (all
            faults are named at once), or an override that another setting leaves without effect.

    Warns:
        UserWarning: the file has such a key; it may be there for another preset or override.
    """
    if preset not in PRESETS:
        close = _close(str(preset), PRESETS)
        raise SettingsError(
            f"preset {preset!r} is unknown",
            expected=f"one of {', '.join(PRESETS)}",
            hint=f"Did you mean {close[0]!r}?" if close else None,
        )
    tree = _merged(Settings().model_dump(mode="json"), PRESETS[preset])
    in_file = _read_toml(file) if file is not None else {}
    asked: Tree = {}
    for key, value in (overrides or {}).items():
        path = str(key).split(".")
        asked = _merged(asked, _branch(path, _parsed(value, _choices(path))))
    tree = _merged(_merged(tree, in_file), asked)
    try:
        found = Settings.model_validate_json(json.dumps(_plain(tree)), strict=True)
    except ValidationError as error:
        raise SettingsError(_faults(error)) from None
    if idle := found.without_effect(_leaves(asked)):
        raise SettingsError("\n  ".join(idle), hint="Change that one too, or leave this one out.")
    if idle := found.without_effect(_leaves(in_file)):
        warnings.warn(f"settings file '{file}': {'; '.join(idle)}", stacklevel=2)
    return found.with_choices(_leaves(_merged(in_file, asked)))


def _leaves(tree: Tree, head: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield from _leaves(value, f"{head}{key}.") if isinstance(value, dict) else [f"{head}{key}"]


def _merged(base: Tree, changes: Tree) -> Tree:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _branch(path: list[str], value: object) -> Tree:
    head, *rest = path
    return {head: _branch(rest, value) if rest else value}


def _choices(path: list[str]) -> tuple[str, ...]:
    """The words that a setting can be; none where it is something else, or no setting."""
    kind: Any = Settings
    for name in path:
        models = [part for part in (kind, *get_args(kind)) if hasattr(part, "model_fields")]
        if not models or name not in models[0].model_fields:
            return ()
        kind = models[0].model_fields[name].annotation
    return get_args(kind) if get_origin(kind) is Literal else ()


def _parsed(value: object, choices: tuple[str, ...]) -> object:
    """Text as TOML writes a number, truth value or list; `none`; anything else as it is.

    A word that is one of the setting's choices stays a word: `none` is one for class weights.
    """
    if value is None or (isinstance(value, str) and value.lower() in ("none", "null")):
        return "none" if "none" in choices else None
    if not isinstance(value, str):
        return value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def _plain(value: object) -> object:
    """What JSON has: NumPy's numbers as Python's, 1e6 as the whole number it is, the rest as text.

    "nan", "inf" and dates become text, which no setting takes for a number.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and math.isfinite(value):
        number = float(value)
        return int(number) if number.is_integer() else number
    return str(value)


def _read_toml(file: Path) -> Tree:
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SettingsError(f"settings file '{file}' does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"settings file '{file}' cannot be read: {error}",
            expected="TOML in UTF-8, such as: [classifier] epochs = 5",
        ) from error


def _faults(error: ValidationError) -> str:
    lines = [_fault(fault) for fault in error.errors()]
    title = "1 setting is wrong" if len(lines) == 1 else f"{len(lines)} settings are wrong"
    return "\n  ".join([f"{title}:", *lines])


def _fault(fault: ErrorDetails) -> str:
    location, kind = fault["loc"], fault["type"]
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        return f"{key or repr(key)} is no setting ({_alternatives(location)})"
    if kind == "missing":
        return f"{'.'.join(str(part) for part in location[:-1])} has too few values"
    wanted = fault["msg"].removeprefix("Input should be ")
    wanted = _WANTED.get(wanted, wanted)
    line = f"{key} = {_shown(fault['input'])}: expected {wanted[0].lower() + wanted[1:]}"
    choices = re.findall(r"'([^']*)'", wanted) if kind == "literal_error" else []
    close = _close(str(fault["input"]), choices)
    return f"{line} (did you mean {close[0]!r}?)" if close else line


_WANTED = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "an object": "a table",
}


def _shown(value: object) -> str:
    """A value as TOML writes it."""
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _alternatives(location: tuple[int | str, ...]) -> str:
    """Which setting an unknown key may have meant: of the same name further in, or a near one."""
    *path, name = (str(part) for part in location)
    # Inside a stage also where it is left out by default.
    tree: Any = Settings(self_training=SelfTrainingSettings() if path else None).model_dump()
    for part in path:
        tree = tree.get(part) or {} if isinstance(tree, dict) else {}
    inner = [key for key, value in tree.items() if isinstance(value, dict) and name in value]
    found = [".".join([key, name]) for key in inner] or _close(name, tree)
    if not found:
        return f"known: {', '.join(tree)}"
    *some, last = (repr(".".join([*path, key])) for key in found)
    return f"did you mean {' or '.join([', '.join(some), last] if some else [last])}?"


def _close(name: str, known: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(name, list(known), n=1)
