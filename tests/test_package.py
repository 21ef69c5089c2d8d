from __future__ import annotations

from importlib.metadata import metadata, version
from pathlib import Path

import pytest

import ulmfit


def test_version_is_that_of_the_distribution() -> None:
    assert ulmfit.__version__ == version("ulmfit")


def test_unknown_name_is_an_attribute_error() -> None:
    name = "Classifier"
    with pytest.raises(AttributeError, match="module 'ulmfit' has no attribute 'Classifier'"):
        getattr(ulmfit, name)


def test_names_are_listed() -> None:
    assert {"TextClassifier", "__version__"} <= set(dir(ulmfit))


def test_types_are_shipped() -> None:
    assert Path(ulmfit.__file__).with_name("py.typed").exists()
    assert metadata("ulmfit")["License-Expression"] == "Apache-2.0"
