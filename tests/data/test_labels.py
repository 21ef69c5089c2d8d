from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from ulmfit.data.json_lines import JSON_FIELD
from ulmfit.data.labels import LabelReader, canonical_label, joining_mark, several_flag
from ulmfit.errors import InputError


def read(
    columns: dict[str, object], *names: str, separator: str | None = None
) -> list[str | tuple[str, ...] | None]:
    batch = pa.RecordBatch.from_pydict(columns)
    return LabelReader("a", batch.schema, names, separator).read(batch)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("pos", "pos"),
        (" pos ", " pos "),
        (1, "1"),
        (1.0, "1"),
        (-2.0, "-2"),
        (0.5, "0.5"),
        (True, "True"),
        (np.float64(3), "3"),
        (Decimal("1.5"), "1.5"),
        (date(2020, 1, 2), "2020-01-02"),
        ("1.0", "1.0"),
    ],
)
def test_a_label_is_a_string_whatever_it_was(value: object, name: str) -> None:
    assert canonical_label(value) == name


@pytest.mark.parametrize("value", [None, "", "  ", float("nan")])
def test_a_missing_label_is_none(value: object) -> None:
    assert canonical_label(value) is None


def test_columns_of_any_type() -> None:
    dictionary = pa.array(["a", "b", "a"]).dictionary_encode()
    assert read({"y": dictionary}, "y") == ["a", "b", "a"]
    assert read({"y": [1, None, 3]}, "y") == ["1", None, "3"]
    assert read({"y": [1.0, float("nan"), None]}, "y") == ["1", None, None]
    assert read({"y": [True, False]}, "y") == ["True", "False"]
    assert read({"y": pa.nulls(2)}, "y") == [None, None]


def test_equal_labels_are_one_object() -> None:
    first, second = read({"y": ["posi" + "tive"] * 2}, "y")
    assert first is second


def test_lists_are_sets_of_labels() -> None:
    assert read({"y": [["b", "a", "b"], [], None, ["a", None]]}, "y") == [
        ("a", "b"),
        (),
        None,
        ("a",),
    ]
    assert read({"y": [[3, 1]]}, "y") == [("1", "3")]


def test_a_separator_makes_several_labels_of_one_string() -> None:
    found = read({"y": ["b| a", "a", "", None, "a||b"]}, "y", separator="|")
    assert found == [("a", "b"), ("a",), (), (), ("a", "b")]


@pytest.mark.parametrize(
    "values", [[b"pos"], [{"x": 1}], [[b"pos"]]], ids=["bytes", "objects", "lists of bytes"]
)
def test_bytes_and_objects_are_no_labels(values: list[object]) -> None:
    with pytest.raises(InputError, match=r"column 'y' holds .*: expected labels as text"):
        read({"y": values}, "y")


@pytest.mark.parametrize("kind", [pa.large_binary(), pa.binary(3), pa.list_(pa.large_binary())])
def test_bytes_of_every_kind_are_no_labels(kind: pa.DataType) -> None:
    schema = pa.schema([("y", kind)])
    with pytest.raises(InputError, match=r"column 'y' holds .*: expected labels as text"):
        LabelReader("a", schema, ("y",))


def test_several_columns_of_0_and_1() -> None:
    columns = {"toxic": ["1", "0.0", ""], "threat": [1.0, 0.0, None], "mild": [True, False, None]}
    assert read(columns, "toxic", "threat", "mild") == [("toxic", "threat", "mild"), (), ()]
    assert read({"x": ["1.0", "0"], "y": ["0", "true"]}, "x", "y") == [("x",), ("y",)]
    with pytest.raises(InputError, match=r"a: column 'x' has 'maybe': expected 0 or 1, as several"):
        read({"x": ["1", "maybe"], "y": ["0", "0"]}, "x", "y")


def test_whether_a_row_can_have_several_labels() -> None:
    schema = pa.schema([("one", pa.string()), ("more", pa.list_(pa.string()))])
    assert not LabelReader("a", schema, ("one",)).multi_label
    assert LabelReader("a", schema, ("one",), "|").multi_label
    assert LabelReader("a", schema, ("more",)).multi_label
    assert LabelReader("a", schema, ("one", "more")).multi_label


def test_the_point_zero_that_pandas_adds_goes_label_by_label() -> None:
    assert read({"y": ["1.0", "1.5", "-2.00", "x", "1"]}, "y") == ["1", "1.5", "-2", "x", "1"]
    assert read({"y": [["1.0", "1"]]}, "y") == [("1",)]
    assert read({"y": ["1.0|2.5"]}, "y", separator="|") == [("1", "2.5")]


def test_labels_of_several_types_are_named_as_they_are_alone() -> None:
    field = pa.field("y", pa.string(), metadata=JSON_FIELD)
    cells = pa.array(['"spam"', "1", "2.0", "true", None])
    batch = pa.RecordBatch.from_arrays([cells], schema=pa.schema([field]))
    assert LabelReader("a", batch.schema, ("y",)).read(batch) == ["spam", "1", "2", "True", None]
    batch = pa.RecordBatch.from_arrays([pa.array(["1", '{"b": 1}'])], schema=batch.schema)
    with pytest.raises(InputError, match="a: row 2: column 'y' has"):
        LabelReader("a", batch.schema, ("y",)).read(batch)


def test_flags_of_several_types() -> None:
    schema = pa.schema([pa.field(name, pa.string(), metadata=JSON_FIELD) for name in "xy"])
    batch = pa.RecordBatch.from_arrays(
        [pa.array(['"1"', "0"]), pa.array(["true", '"0"'])], schema=schema
    )
    assert LabelReader("a", schema, ("x", "y")).read(batch) == [("x", "y"), ()]


@pytest.mark.parametrize("columns", [("y",), ("x", "y")])
def test_a_bad_label_is_in_the_row_of_the_file_and_not_of_the_batch(
    columns: tuple[str, ...],
) -> None:
    schema = pa.schema([pa.field(name, pa.string(), metadata=JSON_FIELD) for name in "xy"])
    good, bad = pa.array(["1", "0"]), pa.array(["1", '{"b": 1}'])
    reader = LabelReader("a", schema, columns)
    reader.read(pa.RecordBatch.from_arrays([good, good], schema=schema))
    with pytest.raises(InputError, match="a: row 4: column 'y' has"):
        reader.read(pa.RecordBatch.from_arrays([good, bad], schema=schema))


@pytest.mark.parametrize(
    ("labels", "mark"),
    [
        (["a", "b", "a|b"], "|"),
        (["a", "b", "c", "b; a", "c; a"], ";"),
        (["a", "a,b", "b,c", "c,a"], ","),
        (["World", "Sci|Tech"], None),
        (["New York, NY", "Albany, NY", "Boston, MA"], None),
        (["a|b", "b|a", "a|a"], None),
        (["a", "a ", " a"], None),
        ([], None),
    ],
)
def test_labels_that_are_several_in_one(labels: list[str], mark: str | None) -> None:
    assert joining_mark(labels) == mark


def test_the_option_for_several_labels_in_one_string() -> None:
    assert several_flag("|") == "--multi-label"
    assert several_flag(";") == '--label-separator ";"'
