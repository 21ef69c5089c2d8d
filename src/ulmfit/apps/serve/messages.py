"""The JSON that goes in and out; what is said here is what /docs shows."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

_SURE = "Give no label where the confidence is below this; null for the service's own setting."


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PredictRequest(_Strict):
    """One text, or several."""

    text: Annotated[str | None, Field(description="One text; or give `texts`.")] = None
    texts: Annotated[list[str] | None, Field(description="Several texts.")] = None
    min_confidence: Annotated[float | None, Field(ge=0, le=1, description=_SURE)] = None

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"texts": ["What a film!", "Never again."]}]},
    )


class Prediction(BaseModel):
    """What the model says of one text."""

    label: Annotated[
        str | None,
        Field(description="The label; null when abstained, and of a model of several labels."),
    ]
    labels: Annotated[list[str], Field(description="All labels given; none when abstained.")]
    confidence: Annotated[
        float,
        Field(
            description="The model's own probability that the answer is right: the greatest one; "
            "with several labels that each yes or no is right."
        ),
    ]
    abstained: Annotated[bool, Field(description="The confidence is below `min_confidence`.")]
    probabilities: Annotated[dict[str, float], Field(description="Of each class.")]


class PredictAnswer(BaseModel):
    """The answers, in the order of the texts."""

    predictions: list[Prediction]


class ExplainRequest(_Strict):
    """A text, and which label to explain."""

    text: Annotated[str, Field(description="The text.")]
    label: Annotated[
        str | None, Field(description="Label to explain; the most probable one if null.")
    ] = None

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "What a film!"}]}
    )


class SpanAnswer(BaseModel):
    """A piece of the text."""

    start: Annotated[int, Field(description="First character, counted in Unicode code points.")]
    end: Annotated[int, Field(description="One behind the last character.")]
    text: Annotated[str, Field(description="The piece itself.")]
    attribution: Annotated[
        float, Field(description="Its share in the score: positive speaks for the label.")
    ]


class ExplainAnswer(BaseModel):
    """Which words decided."""

    label: Annotated[str, Field(description="What is explained.")]
    probability: Annotated[float, Field(description="Of the label.")]
    score: Annotated[float, Field(description="Of the label, before it became a probability.")]
    baseline_score: Annotated[float, Field(description="Score of a text that says nothing.")]
    method: Annotated[str, Field(description="How it was computed.")]
    unexplained: Annotated[
        float, Field(description="Change in score that the shares do not add up to.")
    ]
    note: Annotated[
        str | None,
        Field(description="Why the shares are coarser than usual; null where they are not."),
    ]
    spans: list[SpanAnswer]


class ModelAnswer(BaseModel):
    """What is served."""

    name: Annotated[str, Field(description="Name of the model folder.")]
    labels: Annotated[list[str], Field(description="The classes.")]
    multi_label: Annotated[bool, Field(description="A text may have any number of labels.")]
    explains: Annotated[bool, Field(description="/explain can be asked.")]
    min_confidence: Annotated[float | None, Field(description="Of the service; null for none.")]
    limits: Annotated[dict[str, int | float], Field(description="What a request may have.")]
    metrics: Annotated[dict[str, Any], Field(description="What the model scored.")]
    version: Annotated[str, Field(description="Of ulmfit.")]


class Health(BaseModel):
    """It answers."""

    status: str


class Problem(BaseModel):
    """Why a request was refused."""

    error: Annotated[str, Field(description="What is wrong.")]
    expected: Annotated[str | None, Field(description="What would have been right.")] = None
    hint: Annotated[str | None, Field(description="What you can do.")] = None
