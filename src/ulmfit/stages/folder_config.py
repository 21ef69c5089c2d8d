"""What a model folder says of itself: `config.json`, `tokenizer.json`, `metrics.json`, checked.

No torch here: to list models is no reason to wait for it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError

from ulmfit.artifacts import CONFIG, METRICS, TOKENIZER, FolderContents
from ulmfit.config import ClassifierConfig, Direction, Frozen, LMConfig
from ulmfit.data.sources import shorten
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import ModelFolderError

LANGUAGE_MODEL, CLASSIFIER = "language_model", "classifier"

COPY_AGAIN = "Copy the whole folder again from where it came from, or train again."

_MADE_BY = {
    LANGUAGE_MODEL: "`ulmfit pretrain` or `ulmfit finetune-lm`",
    CLASSIFIER: "`ulmfit train` or `ulmfit finetune-classifier`",
}
_MOST_NAMED = 5  # faults of one file; the rest is counted


class LMFolderConfig(Frozen):
    """`config.json` of a language model.

    Attributes:
        kind: tells it from a classifier's.
        direction: reading order.
        lm: sizes.
        info: where the model comes from: corpus, licence, settings.
    """

    kind: Literal["language_model"] = "language_model"
    direction: Direction
    lm: LMConfig
    info: dict[str, Any] = Field(default_factory=dict)


class LabelForm(Frozen):
    """How the labels looked that a classifier was trained on, so that its answers look alike.

    Attributes:
        kind: type of a class name; the names themselves are kept as text.
        columns: width of the 0/1 matrix that the labels were, or the names of its columns where it
            had some; None where they were no matrix.
    """

    kind: Literal["string", "integer", "number", "boolean"] = "string"
    columns: Annotated[int, Field(gt=0)] | tuple[str, ...] | None = None

    @property
    def column_names(self) -> tuple[str, ...]:
        """Class names in the order of the matrix's columns; none where there was no matrix."""
        if isinstance(self.columns, int):
            return tuple(map(str, range(self.columns)))
        return self.columns or ()

    def check(self, names: Collection[str]) -> None:
        """Find class names that cannot have been given so.

        Raises:
            ValueError: no name of this type, or of a column that the matrix does not have.
        """
        columns = set(self.column_names)
        for name in names:
            if self.columns is not None and name not in columns:
                raise ValueError(f"'{name}' is no column of {self.columns}")
        for name in (*names, *columns):
            self.typed(name)

    def typed(self, name: str) -> str | int | float | bool:
        """A class name as it was given.

        Raises:
            ValueError: no name of this type.
        """
        match self.kind:
            case "integer":
                return int(name)
            case "number":
                return float(name)
            case "boolean":
                if name not in ("True", "False"):
                    raise ValueError(f"'{name}' is not 'True' or 'False'")
                return name == "True"
            case "string":
                return name


class Calibration(Frozen):
    """How scores become probabilities.

    Attributes:
        version: of the rule, 1: the scores of all members together, see `stages.ensemble` and
            `stages.ngrams`, divided by the temperature. Code that knows no other refuses others.
        temperature: above 1 it makes a model less sure; 1 leaves it as it is.
    """

    version: Literal[1] = 1
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)


class NGramConfig(Frozen):
    """The member that counts words, see `ngrams.NGrams`.

    Attributes:
        version: of how a document becomes terms and these become scores, 1. Code that knows no
            other refuses others.
        terms: how many words and pairs it knows.
        share: what its scores count beside those of the language models.
    """

    version: Literal[1] = 1
    terms: int = Field(ge=0)
    share: float = Field(gt=0, allow_inf_nan=False)


class ClassifierFolderConfig(Frozen):
    """`config.json` of a classifier.

    Attributes:
        kind: tells it from a language model's.
        direction: reading order.
        classifier: sizes.
        labels: names of the classes, by position.
        label_form: how answers look in Python.
        calibration: of all members together, in the folder of the first.
        ngrams: the member that counts words, in the folder of the first; None for none.
        info: settings, and where the language model comes from.
    """

    kind: Literal["classifier"] = "classifier"
    direction: Direction
    classifier: ClassifierConfig
    labels: tuple[str, ...]
    label_form: LabelForm = LabelForm()
    calibration: Calibration = Calibration()
    ngrams: NGramConfig | None = None
    info: dict[str, Any] = Field(default_factory=dict)


Config = TypeVar("Config", LMFolderConfig, ClassifierFolderConfig)


def read_lm_config(contents: FolderContents) -> LMFolderConfig:
    """`config.json` of a language model.

    Raises:
        ModelFolderError: it is of another kind of model, or not as this version writes it; all
            faults are named.
    """
    return _read_config(contents, LMFolderConfig, LANGUAGE_MODEL)


def read_classifier_config(contents: FolderContents) -> ClassifierFolderConfig:
    """`config.json` of a classifier.

    Raises:
        ModelFolderError: as `read_lm_config`, and labels that are not one per class.
    """
    config = _read_config(contents, ClassifierFolderConfig, CLASSIFIER)
    different, needed = len(set(config.labels)), config.classifier.n_classes
    if len(config.labels) != needed or different != needed:
        raise broken(contents, CONFIG, [f"{different} different labels for {needed} classes"])
    try:
        config.label_form.check(config.labels)
    except ValueError as error:
        raise broken(contents, CONFIG, [f"label of the wrong type: {error}"]) from error
    return config


def _read_config(contents: FolderContents, form: type[Config], kind: str) -> Config:
    found = contents.config.get("kind")
    if found != kind:
        raise ModelFolderError(
            f"model folder '{contents.path}' is of kind {shorten(found)}",
            expected=repr(kind),
            hint=f"Give a folder that {_MADE_BY[kind]} made.",
        )
    try:
        return form.model_validate_json(json.dumps(contents.config), strict=True)
    except ValidationError as error:
        faults = error.errors()
        unknown = any(fault["type"] == "extra_forbidden" for fault in faults)
        described = (_config_fault(fault["loc"], fault["type"], fault["msg"]) for fault in faults)
        raise broken(
            contents,
            CONFIG,
            described,
            "It may come from a newer version: upgrade ulmfit." if unknown else COPY_AGAIN,
        ) from error


def _config_fault(location: Iterable[int | str], kind: str, message: str) -> str:
    key = ".".join(map(str, location))
    if kind == "missing":
        return f"key '{key}' is missing"
    if kind == "extra_forbidden":
        return f"key '{key}' is unknown"
    return f"key '{key}': {message[0].lower()}{message[1:]}"


def read_tokenizer(contents: FolderContents, vocab_size: int) -> Tokenizer:
    """`tokenizer.json`, of the size that the weights have.

    Raises:
        ModelFolderError: it is no tokenizer, or of another model.
    """
    content = contents.require(TOKENIZER)
    try:
        tokenizer = Tokenizer.from_json(content.decode())
    except UnicodeDecodeError as error:
        raise broken(contents, TOKENIZER, [f"not UTF-8 ({error.reason})"]) from error
    except ModelFolderError as error:
        problem = f"model folder '{contents.path}' is broken: {error.problem}"
        raise ModelFolderError(problem, expected=error.expected, hint=error.hint) from error
    if tokenizer.vocab_size != vocab_size:
        fault = f"it has {tokenizer.vocab_size:,} entries, {CONFIG} and the weights {vocab_size:,}"
        hint = f"The files are of different models. {COPY_AGAIN}"
        raise broken(contents, TOKENIZER, [fault], hint)
    return tokenizer


def read_metrics(contents: FolderContents) -> dict[str, Any]:
    """`metrics.json`; empty where the folder has none.

    Raises:
        ModelFolderError: it is no JSON object.
    """
    try:
        metrics = json.loads(contents.files.get(METRICS, b"{}"))
    except (ValueError, RecursionError) as error:
        raise broken(contents, METRICS, [f"no JSON ({error})"]) from error
    if not isinstance(metrics, dict):
        raise broken(contents, METRICS, ["it is no JSON object"])
    return metrics


def broken(
    contents: FolderContents, name: str, faults: Iterable[str], hint: str = COPY_AGAIN
) -> ModelFolderError:
    """The error that names a folder, a file in it, and what is wrong there."""
    found = list(faults)
    named = found[:_MOST_NAMED]
    if len(found) > len(named):
        named.append(f"and {len(found) - len(named)} more")
    return ModelFolderError(
        f"model folder '{contents.path}' is broken: {name}: {'; '.join(named)}", hint=hint
    )
