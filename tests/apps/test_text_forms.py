from __future__ import annotations

import csv
import io
import json
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.apps.text_forms import PROBABILITY_FIELD, DelimitedForm, JsonLinesForm
from ulmfit.data.json_lines import JSON_FIELD
from ulmfit.data.tables import Dialect

TYPED = pa.RecordBatch.from_arrays(
    [
        pa.array(["a", None]),
        pa.array([7, None]),
        pa.array([0.1, float("nan")]),
        pa.array([True, None]),
        pa.array([date(2020, 1, 2), None]),
        pa.array([datetime(2020, 1, 2, 3, 4, 5), None], pa.timestamp("ns")),
        pa.array([1_000_000_001, None], pa.duration("ns")),
        pa.array([Decimal("1.50"), None]),
        pa.array([b"\xff", None]),
        pa.array([["x", "y"], None]),
        pa.array([{"k": [1.0, float("inf")]}, None]),
        pa.array(["x", "y"]).dictionary_encode(),
    ],
    names=["s", "i", "f", "b", "d", "t", "u", "n", "y", "l", "o", "c"],
)


def delimited(batch: pa.RecordBatch, delimiter: str = ",", joined: str = "") -> list[list[str]]:
    form = DelimitedForm(batch.schema, Dialect(delimiter, has_mark=False), joined, "|")
    text = form.header() + form.rows(batch)
    assert text.endswith("\n")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


def json_lines(batch: pa.RecordBatch) -> list[dict[str, object]]:
    form = JsonLinesForm(batch.schema)
    assert form.header() == ""
    return [json.loads(line, parse_constant=pytest.fail) for line in form.rows(batch).splitlines()]


def test_types_as_csv() -> None:
    header, first, second = delimited(TYPED)
    assert header == TYPED.schema.names
    assert first == [
        "a",
        "7",
        "0.1",
        "True",
        "2020-01-02",
        "2020-01-02 03:04:05.000000000",
        "1000000001",
        "1.50",
        "/w==",
        '["x", "y"]',
        '{"k": [1.0, null]}',
        "x",
    ]
    assert second == [*[""] * 11, "y"]


def test_types_as_json() -> None:
    first, second = json_lines(TYPED)
    assert first == {
        "s": "a",
        "i": 7,
        "f": 0.1,
        "b": True,
        "d": "2020-01-02",
        "t": "2020-01-02 03:04:05.000000000",
        "u": 1_000_000_001,
        "n": "1.50",
        "y": "/w==",
        "l": ["x", "y"],
        "o": {"k": [1.0, None]},
        "c": "x",
    }
    assert second == {**dict.fromkeys(TYPED.schema.names), "c": "y"}


def test_json_that_came_in_goes_out() -> None:
    schema = pa.schema([pa.field("x", pa.string(), metadata=JSON_FIELD)])
    batch = pa.RecordBatch.from_arrays([['{"a": 1}', "5", '"b"', None]], schema=schema)
    assert [row["x"] for row in json_lines(batch)] == [{"a": 1}, 5, "b", None]
    assert [row[0] for row in delimited(batch)[1:4]] == ['{"a": 1}', "5", '"b"']


def test_probabilities_have_six_digits_and_other_numbers_all_of_theirs() -> None:
    schema = pa.schema(
        [pa.field("p", pa.float64(), metadata=PROBABILITY_FIELD), pa.field("x", pa.float64())]
    )
    third = 1 / 3
    batch = pa.RecordBatch.from_arrays([[third, 1e-12], [third, 1.0]], schema=schema)
    assert delimited(batch)[1:] == [["0.333333", repr(third)], ["1e-12", "1.0"]]
    assert json_lines(batch)[0] == {"p": 0.333333, "x": third}


def test_one_list_is_joined() -> None:
    batch = pa.RecordBatch.from_pydict({"l": [["x", "y"], []], "m": [["x"], []]})
    assert delimited(batch, joined="l")[1:] == [["x|y", '["x"]'], ["", "[]"]]


cells = st.text(st.characters(codec="utf-8") | st.sampled_from("\r\n\t,\"'|;"))


@settings(deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=5), st.sampled_from([",", "\t"]))
def test_any_text_comes_back(rows: list[tuple[str, str]], delimiter: str) -> None:
    batch = pa.RecordBatch.from_pydict({"x": [a for a, _ in rows], "y": [b for _, b in rows]})
    assert [tuple(row) for row in delimited(batch, delimiter)[1:]] == rows
    form = JsonLinesForm(batch.schema)
    assert [tuple(json.loads(line).values()) for line in form.rows(batch).split("\n")[:-1]] == rows
