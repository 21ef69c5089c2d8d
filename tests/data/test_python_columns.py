from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ulmfit.data.python_columns import column_of_labels, column_of_texts
from ulmfit.errors import InputError


class Column:
    """As the columns of `datasets`: a sequence that is no list."""

    def __init__(self, *values: str) -> None:
        self._values = values

    def __getitem__(self, place: int) -> str:
        return self._values[place]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)


class PolarsLike:
    """As a polars Series, which turns into a list by `to_list`."""

    def to_list(self) -> list[str]:
        return ["a", "b"]


def generated() -> Iterator[str]:
    yield from ("a", "b")


COLUMNS = [
    ["a", "b"],
    ("a", "b"),
    generated(),
    np.array(["a", "b"]),
    np.array(["a", "b"], dtype=object),
    pd.Series(["a", "b"], index=[7, 3]),
    pd.Series(["a", "b"], dtype="string"),
    pd.Series(["a", "b"], dtype="category"),
    pd.Index(["a", "b"]),
    pa.array(["a", "b"]),
    pa.chunked_array([["a"], ["b"]]),
    pa.array(["a", "b"]).dictionary_encode(),
    Column("a", "b"),
    PolarsLike(),
    OrderedDict(a=1, b=2).keys(),
]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: type(column).__name__)
def test_columns_of_every_kind(column: object) -> None:
    found = column_of_texts(column, "data")
    assert found == ["a", "b"]
    assert all(type(text) is str for text in found)


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ([1, 2], ["1", "2"]),
        (["x", "y"], ["x", "y"]),
        (np.array([1, 2]), ["1", "2"]),
        ([np.int64(1), np.float32(2.0)], ["1", "2"]),
        (np.array([1.0, 2.5]), ["1", "2.5"]),
        (np.array([True, False]), ["True", "False"]),
        (np.array([[1], [2]]), ["1", "2"]),
        (pd.Series(["x", "y"], dtype="category"), ["x", "y"]),
        (pd.Series([1, 2], dtype="Int64"), ["1", "2"]),
        (pa.array([1, 2], pa.int8()), ["1", "2"]),
        ([np.str_("x"), "y"], ["x", "y"]),
    ],
)
def test_labels_of_every_kind(column: object, names: list[str]) -> None:
    assert column_of_labels(column, "data") == (names, False)


@pytest.mark.parametrize(
    ("column", "sets"),
    [
        ([["x", "y"], []], [("x", "y"), ()]),
        ([("y", "x", "y"), (1,)], [("x", "y"), ("1",)]),
        ([{"y", "x"}, set()], [("x", "y"), ()]),
        (pd.Series([["x"], ["y"]]), [("x",), ("y",)]),
        (pa.array([["x"], []]), [("x",), ()]),
        ([np.array(["x", "y"]), np.array([])], [("x", "y"), ()]),
        (np.array([[1, 0, 1], [0, 0, 0]]), [("0", "2"), ()]),
    ],
)
def test_several_labels_of_every_kind(column: object, sets: list[tuple[str, ...]]) -> None:
    assert column_of_labels(column, "data") == (sets, True)


def test_half_surrogate_pairs_are_replaced() -> None:
    assert column_of_texts(["a\ud800", "ü"], "data") == ["a\ufffd", "ü"]


@pytest.mark.parametrize("labels", [["a", "b\ud800"], [["a"], ["b\ud800"]]])
def test_half_a_surrogate_pair_in_a_label_is_refused(labels: list[object]) -> None:
    with pytest.raises(InputError) as caught:
        column_of_labels(labels, "data")
    assert str(caught.value) == (
        "data: the label of row 1 is 'b\\ud800', with half a surrogate pair: "
        "expected text that UTF-8 can hold."
    )


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            "one text",
            "texts is one string ('one text'): expected a list of texts. Put it in a list: [text].",
        ),
        (
            {"text": ["a"]},
            "texts is a dict: expected one column. "
            'Take the column out of the table first, such as table["text"].',
        ),
        (pd.DataFrame({"text": ["a"]}), "texts is a DataFrame: expected one column"),
        (pa.table({"text": ["a"]}), "texts is a Table: expected one column"),
        ({"a", "b"}, "texts is a set, which has no order: expected a list of texts."),
        (5, "texts is 5: expected a list of texts."),
        (np.array("a"), "texts is one string ('a'): expected a list"),
        (["a", None], "data: the text of row 1 is missing (None): expected a string."),
        (["a", float("nan")], "data: the text of row 1 is missing (nan): expected a string."),
        (pd.Series(["a", None], dtype="string"), "the text of row 1 is missing (<NA>)"),
        (pd.Series(["a", None]), "the text of row 1 is missing ("),
        (["a", 5], "data: the text of row 1 is 5 (int): expected a string."),
        ([b"a"], "the text of row 0 is b'a' (bytes): expected a string. Decode it first"),
        ([["a", "b"]], "(list): expected a string. Join the parts to one string first."),
        (np.zeros((2, 2)), "the text of row 0 is [0.0, 0.0] (list): expected a string."),
    ],
)
def test_texts_that_are_none(column: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        column_of_texts(column, "data")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("pos", "labels is one string ('pos'): expected a list of labels."),
        (["x", None], "the label of row 1 is missing (None): expected a class in every row."),
        ([1.0, float("nan")], "the label of row 1 is missing (nan)"),
        (pd.Series([1, None], dtype="Int64"), "the label of row 1 is missing (<NA>)"),
        (["x", ""], "the label of row 1 is missing ('')"),
        ([b"x"], "the label of row 0 is b'x' (bytes): expected a string or a number."),
        (["x", ["y"]], "the label of row 0 is 'x', in other rows it is a list"),
        ([["x"], [None]], "the label of row 1 is missing (None)"),
        (np.array([[1, 2]]), "row 0 of the label matrix is [1, 2]: expected 0 and 1 only"),
    ],
)
def test_labels_that_are_none(column: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        column_of_labels(column, "data")
    assert message in str(caught.value)


def test_no_library_is_imported_for_columns() -> None:
    source = sys.modules["ulmfit.data.python_columns"].__file__
    assert source is not None
    with open(source) as file:
        assert not {"import pandas", "import numpy", "import datasets"} & set(
            file.read().split("\n")
        )
