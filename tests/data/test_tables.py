from __future__ import annotations

import pyarrow as pa
import pytest

from ulmfit.data.tables import (
    BATCH_CHARS,
    BATCH_ROWS,
    Table,
    batch_rows,
    refuse_twins,
    string_schema,
    to_array,
    whole_characters,
)
from ulmfit.errors import InputError

SCHEMA = string_schema(["text"])


def table_of(*texts: str) -> Table:
    return Table("t", SCHEMA, batch_rows([(text,) for text in texts], SCHEMA))


def test_peeking_takes_nothing_off_the_stream() -> None:
    table = table_of("a", "b")
    first = table.peek()
    assert first is not None
    assert table.peek() is first
    assert [batch.to_pydict() for batch in table] == [{"text": ["a", "b"]}]


def test_a_table_without_rows() -> None:
    table = table_of()
    assert table.peek() is None
    assert list(table) == []


def test_a_table_closes_its_source() -> None:
    closed: list[bool] = []
    with Table("t", SCHEMA, iter(()), close_source=lambda: closed.append(True)):
        assert not closed
    assert closed == [True]


def test_batches_are_bounded_in_rows_and_in_characters() -> None:
    rows = [("x",)] * (BATCH_ROWS + 1)
    assert [batch.num_rows for batch in batch_rows(rows, SCHEMA)] == [BATCH_ROWS, 1]
    long = [("x" * (BATCH_CHARS // 2),)] * 5
    assert [batch.num_rows for batch in batch_rows(long, SCHEMA)] == [2, 2, 1]


def test_half_surrogate_pairs_become_replacement_characters() -> None:
    assert whole_characters("a\ud800b") == "a\ufffdb"
    assert whole_characters("\ud83d\ude00") == "\U0001f600"
    array = to_array(["fine", None, "a\udc00"], pa.string())
    assert array.to_pylist() == ["fine", None, "a\ufffd"]


def test_string_arrays_are_those_of_arrow() -> None:
    for texts in ([], [""], ["a", "", "zwölf", "한국어"], ["x" * 100_000, "y"]):
        array = to_array(texts, pa.string())
        array.validate(full=True)
        assert array.equals(pa.array(texts, pa.string()))
    assert to_array(["a", "b\ud800"], pa.string()).to_pylist() == ["a", "b\ufffd"]


def test_two_columns_of_one_name_are_refused() -> None:
    refuse_twins("a.csv", [])
    refuse_twins("a.csv", ["text", "label"])
    with pytest.raises(InputError, match=r"a\.csv: 2 columns are called 'text': expected every"):
        refuse_twins("a.csv", ["text", "label", "text"])
