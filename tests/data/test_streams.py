from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ulmfit.data.streams import count_rows, is_plain_text, iter_texts, names_in, open_rows
from ulmfit.data.tokenizer import join_fields
from ulmfit.errors import InputError


def put(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_rows_keep_all_columns_their_types_and_their_order(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array(range(3000), pa.int16()),
            "text": [f"text {n}" for n in range(3000)],
            "x": [n / 7 for n in range(3000)],
            "day": pa.array([0] * 3000, pa.date32()),
            "yes": [True, None, False] * 1000,
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    with open_rows(tmp_path / "a.parquet") as rows:
        assert (rows.text_column, rows.schema) == ("text", table.schema)
        batches = list(rows)
        texts = [text for batch in batches for text in rows.texts(batch)]
    assert pa.Table.from_batches(batches).equals(table)
    assert texts == table["text"].to_pylist()


def test_missing_and_blank_texts_stay_in_their_place(tmp_path: Path) -> None:
    path = put(
        tmp_path / "a.jsonl", '{"text": "a"}\n{"text": null}\n{"text": "  "}\n{"text": "b"}\n'
    )
    with open_rows(path) as rows:
        assert [rows.texts(batch) for batch in rows] == [["a", "", "  ", "b"]]


def test_several_text_columns_are_joined_with_field_marks(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "title,body,n\nA fine day,It was sunny,1\n,It rained,2\n")
    with open_rows(path, text="title,body") as rows:
        assert rows.text_column == "title,body"
        assert [rows.texts(batch) for batch in rows] == [
            [join_fields(["A fine day", "It was sunny"]), join_fields(["", "It rained"])]
        ]


def test_a_wrong_column_closes_the_file(tmp_path: Path) -> None:
    # an open file would raise ResourceWarning, which is an error here
    with pytest.raises(InputError, match="no column 'x'"):
        open_rows(put(tmp_path / "a.csv", "text,label\na,b\n"), text="x")


def test_a_fault_far_into_the_file_comes_when_it_is_reached(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text,label\n" + "a,b\n" * 5000 + "a,b,c\n")
    with open_rows(path) as rows, pytest.raises(InputError, match="line 5002 has 3 fields"):
        for batch in rows:
            assert batch.num_rows > 0


def test_texts_that_are_blank_are_left_out_of_a_corpus(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", 'text,label\nfirst one,1\n"",2\n"  ",3\nthe last,4\n')
    assert list(iter_texts(path)) == ["first one", "the last"]


def test_a_text_file_is_lines_or_blocks_for_a_corpus_and_lines_for_prediction(
    tmp_path: Path,
) -> None:
    path = put(tmp_path / "a.txt", "one\nstill one\n\ntwo\n")
    assert list(iter_texts(path)) == ["one\nstill one", "two"]
    with open_rows(path) as rows:
        assert [rows.texts(batch) for batch in rows] == [["one", "still one", "", "two"]]


def test_fasttext_lines_are_texts_without_their_labels(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "__label__pos a fine film\n\n__label__neg dull\n")
    assert not is_plain_text(path, None, None)
    assert list(iter_texts(path)) == ["a fine film", "dull"]


def test_only_the_rows_with_a_value(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "source": n % 2} for n in range(4)]
    path = put(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert list(iter_texts(path, where={"source": ["1"]})) == ["text 1", "text 3"]
    with pytest.raises(InputError, match="no column 'origin': expected one of text, source"):
        list(iter_texts(path, where={"origin": ["1"]}))
    with pytest.raises(
        InputError, match=r"a\.jsonl: has no text where source is '2': expected text"
    ):
        list(iter_texts(path, where={"source": ["2"]}))


@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", ""), ("a.txt", " \n\n"), ("a.csv", "text\n' '\n")]
)
def test_a_source_without_any_text(tmp_path: Path, name: str, content: str) -> None:
    path = put(tmp_path / name, content.replace("'", '"'))
    with pytest.raises(InputError, match=rf"{name}: has no text: expected text"):
        list(iter_texts(path))


def test_a_corpus_with_two_sources(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("general_en")
    sources = {"jason-feng/wikiVisual": 80, "nltk/nltk_data": 7}
    for source, count in sources.items():
        assert (
            sum(1 for _ in iter_texts(folder, split="valid", where={"source": [source]})) == count
        )


def test_streaming_takes_memory_for_a_batch_and_not_for_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        for n in range(20_000):
            file.write(json.dumps({"n": n, "text": f"{n} words and more " * 60}) + "\n")
    tracemalloc.start()
    try:
        count = sum(1 for _ in iter_texts(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert path.stat().st_size > 20_000_000 > 1.3 * peak


def test_names_that_the_user_gave() -> None:
    assert names_in("title, body", None, "label") == ["title", "body", "label"]


def test_rows_are_counted_where_a_source_can_be_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,label\n"two\nlines",x\n' + "more words,y\n" * 2000)
    assert count_rows(path) == 2001
    assert count_rows("name:trec6") == 500
    assert count_rows("-") == 0
    os.mkfifo(tmp_path / "pipe.csv")
    assert count_rows(tmp_path / "pipe.csv") == 0
    path.write_text('text,label\nsome words,x\n"never closed,y\n')
    with pytest.raises(InputError, match="line 3"):
        count_rows(path)


def test_a_text_of_another_type_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    rows: list[object] = ['say "no"\n', 42, True, None] + ["x"] * 2000
    lines = [json.dumps({"text": text}) + "\n" for text in rows]
    with open_rows(put(tmp_path / "a.jsonl", "".join(lines))) as opened:
        texts = [text for batch in opened for text in opened.texts(batch)]
    assert texts[:5] == ['say "no"\n', "42", "True", "", "x"]
    put(tmp_path / "a.jsonl", "".join([*lines, '{"text": ["a"]}\n']))
    with pytest.raises(InputError, match=r"a\.jsonl: row 2005: column 'text' has \W*a"):
        list(iter_texts(tmp_path / "a.jsonl"))
