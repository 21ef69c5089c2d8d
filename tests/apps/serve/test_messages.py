from __future__ import annotations

import pytest
from pydantic import ValidationError

from ulmfit.apps.serve import messages
from ulmfit.apps.serve.messages import ExplainRequest, PredictRequest


def test_slips_of_the_pen_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        PredictRequest.model_validate({"txet": "a"})
    with pytest.raises(ValidationError, match="Field required"):
        ExplainRequest.model_validate({})


def test_examples_are_right() -> None:
    for kind in (PredictRequest, ExplainRequest):
        for example in kind.model_json_schema()["examples"]:
            kind.model_validate(example)


def test_every_field_is_described() -> None:
    for name in ("PredictRequest", "Prediction", "ExplainAnswer", "ModelAnswer", "Problem"):
        schema = getattr(messages, name).model_json_schema()
        for field, said in schema["properties"].items():
            assert "description" in said or "items" in said, f"{name}.{field}"
