from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.data.json_lines import JSON_FIELD, open_json_lines
from ulmfit.data.sources import LineReader, open_lines
from ulmfit.data.tables import BATCH_ROWS, Table
from ulmfit.errors import InputError


def opened(folder: Path, *rows: object) -> Table:
    path = folder / "a.jsonl"
    path.write_text(
        "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    )
    lines = open_lines(path)
    try:
        return open_json_lines(lines, source=path)
    except InputError:
        lines.close()
        raise


def read(folder: Path, *rows: object) -> list[dict[str, object]]:
    with opened(folder, *rows) as table:
        return [row for batch in table for row in batch.to_pylist()]


def from_stdin(*rows: object) -> Table:
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return open_json_lines(LineReader("stdin", io.BytesIO(data), data, None))


def fault(folder: Path, *rows: object) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, *rows)
    return str(caught.value)


def test_values_keep_their_types(tmp_path: Path) -> None:
    row = {"text": "a", "n": 7, "x": 0.5, "yes": True, "none": None, "tags": ["a", "b"]}
    with opened(tmp_path, row) as table:
        assert table.schema.types == [
            pa.string(),
            pa.int64(),
            pa.float64(),
            pa.bool_(),
            pa.null(),
            pa.list_(pa.string()),
        ]
        assert [line for batch in table for line in batch.to_pylist()] == [row]


def test_keys_that_come_late_or_are_missing(tmp_path: Path) -> None:
    found = read(tmp_path, *[{"text": "a"}] * (BATCH_ROWS + 1), {"label": "x"})
    assert found[0] == {"text": "a", "label": None}
    assert found[-1] == {"text": None, "label": "x"}


def test_whole_numbers_and_others_are_floats(tmp_path: Path) -> None:
    assert read(tmp_path, {"n": 1}, {"n": None}, {"n": 0.5}) == [{"n": 1}, {"n": None}, {"n": 0.5}]
    assert opened(tmp_path, {"n": [1]}, {"n": [0.5]}, {"n": []}).schema.types == [
        pa.list_(pa.float64())
    ]


@pytest.mark.parametrize(
    "values",
    [
        ["a", 1],
        [True, 1],
        [{"b": [1]}, {"c": 2}],
        [2**70, 1],
        [[1], "a"],
        [[[1]], [[2]]],
        [["a", 1]],
    ],
)
def test_what_has_no_common_type_is_kept_as_json(tmp_path: Path, values: list[object]) -> None:
    with opened(tmp_path, *({"x": value} for value in values), {"x": None}) as table:
        assert table.schema.field("x").metadata == JSON_FIELD
        cells = [row["x"] for batch in table for row in batch.to_pylist()]
    assert [None if cell is None else json.loads(cell) for cell in cells] == [*values, None]


def test_half_a_surrogate_pair_does_no_harm(tmp_path: Path) -> None:
    line = '{"text": "a\\ud800", "\\uDC00": ["\\uD800"], "whole": "\\ud83d\\ude00"}'
    found = {"text": "a\ufffd", "\ufffd": ["\ufffd"], "whole": "\U0001f600"}
    assert read(tmp_path, line) == [found]


def test_blank_lines_are_skipped_but_counted(tmp_path: Path) -> None:
    assert "line 3, column 1 is not JSON" in fault(tmp_path, {"text": "a"}, "", "nonsense")


def test_an_empty_file(tmp_path: Path) -> None:
    assert "a.jsonl: is empty: expected one JSON object per line." in fault(tmp_path)


def test_a_line_cut_short(tmp_path: Path) -> None:
    message = fault(tmp_path, {"text": "a"}, '{"text": "b"')
    assert "a.jsonl: line 2, column 13 is not JSON (" in message
    assert """'{"text": "b"': expected a JSON object on each line.""" in message


def test_a_json_array_gets_the_remedy(tmp_path: Path) -> None:
    one_line = fault(tmp_path, [{"text": "a"}])
    several = fault(tmp_path, "[", '{"text": "a"}', "]")
    assert "expected a JSON object on each line, such as" in one_line
    assert "jq -c '.[]' FILE" in one_line
    assert "jq -c '.[]' FILE" in several


def test_a_line_that_is_no_object(tmp_path: Path) -> None:
    assert "line 2 is '5': expected a JSON object" in fault(tmp_path, {"text": "a"}, 5)


def test_nesting_without_end(tmp_path: Path) -> None:
    assert "line 1 is not JSON (nested too deeply)" in fault(tmp_path, "[" * 100_000)


def test_stdin_settles_the_types_by_its_first_rows() -> None:
    first = [{"n": 1}] * BATCH_ROWS
    with from_stdin(*first, {"n": 2}) as table:
        assert sum(batch.num_rows for batch in table) == BATCH_ROWS + 1
    for late, expected in (({"n": "two"}, "expected int"), ({"m": 1}, "expected no such column")):
        with pytest.raises(InputError) as caught, from_stdin(*first, late) as table:
            list(table)
        assert f"stdin: line {BATCH_ROWS + 1}: column" in str(caught.value)
        assert expected in str(caught.value)
        assert "Give it as a file" in str(caught.value)


def test_objects_without_keys(tmp_path: Path) -> None:
    assert "a.jsonl: its objects are all empty" in fault(tmp_path, {}, {})
    assert read(tmp_path, {}, {"text": "a"}) == [{"text": None}, {"text": "a"}]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("ab"), json_values), max_size=5))
def test_any_json_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    rows.append({"a": None})
    with opened(tmp_path_factory.getbasetemp(), *rows) as table:
        found = []
        for batch in table:
            for row in batch.to_pylist():
                for name, cell in row.items():
                    if table.schema.field(name).metadata == JSON_FIELD and cell is not None:
                        row[name] = json.loads(cell)
                found.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    assert found == [{name: row.get(name) for name in names} for row in rows]
