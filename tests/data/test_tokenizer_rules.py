"""A tokenizer file with rules of its own is refused: they may be meant to harm."""

from __future__ import annotations

import json

import pytest

from tests import tiny
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import ModelFolderError

OTHER_RULES: dict[str, object] = {
    "normalizer": {"type": "Lowercase"},
    # Takes for ever on a row of a's.
    "pre_tokenizer": {
        "type": "Split",
        "pattern": {"Regex": "(a+)+$"},
        "behavior": "Isolated",
        "invert": False,
    },
    "post_processor": None,
    "decoder": {"type": "Fuse"},
    # Takes a terabyte.
    "padding": {
        "strategy": {"Fixed": 10**12},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "xxpad",
    },
    "truncation": {
        "direction": "Right",
        "max_length": 3,
        "strategy": "LongestFirst",
        "stride": 0,
    },
    "added_tokens": [
        {
            "id": 0,
            "content": "xxunk",
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
    ],
}


@pytest.mark.parametrize("key", OTHER_RULES)
def test_other_rules_are_refused(key: str) -> None:
    content = json.loads(tiny.tokenizer().to_json())
    content[key] = OTHER_RULES[key]
    with pytest.raises(ModelFolderError) as caught:
        Tokenizer.from_json(json.dumps(content))
    assert str(caught.value) == (
        "tokenizer.json has other rules than ulmfit's: expected those of version 1. "
        "Copy the model folder again, or upgrade ulmfit."
    )
