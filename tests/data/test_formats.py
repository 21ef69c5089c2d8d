from __future__ import annotations

import gzip
import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ulmfit.data.formats import has_blocks, open_file, plain_documents
from ulmfit.data.tables import BATCH_ROWS
from ulmfit.errors import InputError

Row = dict[str, object]


def read(path: Path | str) -> list[Row]:
    with open_file(path) as table:
        return [row for batch in table for row in batch.to_pylist()]


def put(path: Path, content: str) -> Path:
    data = content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


ROWS = [{"text": "a fine film", "label": "pos"}, {"text": "a dull one", "label": "neg"}]
FORMS = {
    ".csv": "text,label\na fine film,pos\na dull one,neg\n",
    ".tsv": "text\tlabel\na fine film\tpos\na dull one\tneg\n",
    ".tab": "text\tlabel\na fine film\tpos\na dull one\tneg\n",
    ".jsonl": '{"text": "a fine film", "label": "pos"}\n{"text": "a dull one", "label": "neg"}\n',
    ".ndjson": '{"text": "a fine film", "label": "pos"}\n{"text": "a dull one", "label": "neg"}',
}


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("suffix", FORMS)
def test_every_text_format_packed_or_not(tmp_path: Path, suffix: str, packed: str) -> None:
    assert read(put(tmp_path / f"a{suffix}{packed}", FORMS[suffix])) == ROWS


@pytest.mark.parametrize("suffix", [".parquet", ".pq"])
def test_parquet(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    assert read(path) == ROWS


def test_parquet_keeps_its_types_and_its_order_over_batches(tmp_path: Path) -> None:
    table = pa.table({"text": [f"text {n}" for n in range(5000)], "n": range(5000)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1500)
    with open_file(tmp_path / "a.parquet") as opened:
        batches = list(opened)
    assert max(batch.num_rows for batch in batches) <= BATCH_ROWS
    assert pa.Table.from_batches(batches).equals(table)


def test_long_rows_of_parquet_come_in_small_batches(tmp_path: Path) -> None:
    texts = [f"{n} " * 500_000 for n in range(10)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    with open_file(tmp_path / "a.parquet") as table:
        assert max(batch.num_rows for batch in table) <= 5


@pytest.mark.parametrize("damage", [b"PAR1 and then nothing", b"text,label\na,1\n", None])
def test_damaged_parquet(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)
    with pytest.raises(InputError, match=r"a\.parquet: is not Parquet, or damaged or cut \("):
        read(path)


def test_parquet_damaged_inside(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"text {n}" for n in range(9999)]}), path)
    data = bytearray(path.read_bytes())
    data[10:2000] = b"\xff" * 1990
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.parquet: is not Parquet, or damaged or cut \("):
        read(path)


def test_parquet_with_strings_that_are_not_utf_8(tmp_path: Path) -> None:
    latin = pa.array([b"fine", b"caf\xe9"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": latin}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"damaged or cut \(.*Invalid UTF8 sequence at string"):
        read(tmp_path / "a.parquet")


def test_empty_and_missing_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").touch()
    with pytest.raises(InputError, match="is empty: expected rows of text"):
        read(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"Did you mean .*/a\.parquet"):
        read(tmp_path / "b.parquet")
    (tmp_path / "c.parquet").mkdir()
    with pytest.raises(InputError, match="is a folder: expected a Parquet file"):
        read(tmp_path / "c.parquet")


def test_parquet_with_two_columns_of_one_name(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([["a"], ["b"]], ["text", "text"]), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="2 columns are called 'text'"):
        read(tmp_path / "a.parquet")


def test_a_text_file_has_a_row_per_line_blank_ones_too(tmp_path: Path) -> None:
    for name in ("a.txt", "a.txt.gz", "a"):
        path = put(tmp_path / name, "one\n\n two \r\nthree")
        assert read(path) == [{"text": text} for text in ("one", "", " two ", "three")]


def test_documents_are_lines(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "one\ntwo\n  \nthree\n" + "more\n" * 200)
    assert list(plain_documents(path))[:4] == ["one", "two", "three", "more"]


def test_documents_are_blocks_where_blank_lines_set_them_apart(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "\n\none,\nstill one\r\n\n \ntwo\n\nthree\n\n")
    assert list(plain_documents(path)) == ["one,\nstill one", "two", "three"]


@pytest.mark.parametrize(
    ("sample", "blocks"),
    [("a\nb\n", False), ("a\nb\n\n\n", False), ("\n\na\nb", False), ("a\n\nb\n", True)],
)
def test_blank_lines_at_the_ends_set_nothing_apart(sample: str, blocks: bool) -> None:
    assert has_blocks(sample) is blocks


def test_one_blank_line_in_hundreds_is_an_accident() -> None:
    assert not has_blocks("line\n" * 150 + "\n" + "line\n" * 150)
    assert has_blocks("line\n" * 40 + "\n" + "line\n" * 40)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("a.json", "jq -c"), ("a.xlsx", "Save the sheet as CSV"), ("a.zip", "Unpack"), ("a.dat", "")],
)
def test_an_unknown_type_lists_the_known_ones(tmp_path: Path, name: str, hint: str) -> None:
    put(tmp_path / name, "x")
    with pytest.raises(InputError) as caught:
        read(tmp_path / name)
    assert f"{name}: files of type .{name[2:]} are not read: expected CSV (.csv)," in str(
        caught.value
    )
    assert hint in str(caught.value)


def test_an_unknown_type_that_is_missing_is_missing_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        read(tmp_path / "a.dat")


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (FORMS[".csv"], ROWS),
        (FORMS[".tsv"], ROWS),
        (FORMS[".jsonl"], ROWS),
        (
            "a film, dull and long\n\nno\n",
            [{"text": t} for t in ("a film, dull and long", "", "no")],
        ),
    ],
)
def test_stdin_is_known_by_its_content(
    monkeypatch: pytest.MonkeyPatch, content: str, rows: list[Row]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    assert read("-") == rows


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "csv", "tsv", "jsonl"])
def test_a_pipe_is_read_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    os.mkfifo(path)
    data = FORMS["." + name.rpartition(".")[2]].encode()
    with ThreadPoolExecutor() as pool:
        pool.submit(path.write_bytes, data)
        assert read(path) == ROWS


def test_empty_stdin_has_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert read("-") == []


def test_files_are_closed_when_their_content_is_refused(tmp_path: Path) -> None:
    # an open file would raise ResourceWarning, which is an error here
    for name, content in (("a.csv", ""), ("a.jsonl", "5"), ("a.csv", "a,a\n1,2\n")):
        with pytest.raises(InputError):
            read(put(tmp_path / name, content))
