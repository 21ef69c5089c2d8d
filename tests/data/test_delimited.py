from __future__ import annotations

import csv
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.data.delimited import looks_delimited, open_delimited
from ulmfit.data.sources import SNIFF_BYTES, LineReader, open_lines
from ulmfit.data.tables import Dialect, Table
from ulmfit.errors import InputError

Rows = list[dict[str, str]]


def opened(text: str, suffix: str = ".csv", wanted: tuple[str, ...] = ()) -> Table:
    data = text.encode()
    return open_delimited(LineReader("a", io.BytesIO(data), data, None), suffix, wanted=wanted)


def read(text: str, suffix: str = ".csv", wanted: tuple[str, ...] = ()) -> Rows:
    return [row for batch in opened(text, suffix, wanted) for row in batch.to_pylist()]


def fault(text: str, suffix: str = ".csv") -> str:
    with pytest.raises(InputError) as caught:
        read(text, suffix)
    return str(caught.value)


def test_cells_are_strings_as_they_stand() -> None:
    assert read("id,text,label\n007, a b ,1.50\n,NaN,\n") == [
        {"id": "007", "text": " a b ", "label": "1.50"},
        {"id": "", "text": "NaN", "label": ""},
    ]


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_table_knows_how_its_csv_is_written(delimiter: str, mark: str) -> None:
    text = mark + delimiter.join(("text", "label")) + "\n" + delimiter.join(("a b", "x")) + "\n"
    assert opened(text).dialect == Dialect(delimiter, has_mark=bool(mark))
    assert opened("text\tlabel\na b\tx\n", ".tsv").dialect is None


def test_quoted_fields_hold_delimiters_quotes_and_line_ends() -> None:
    assert read('text,label\r\n"a, ""b""\r\nc",1\r\n\r\nd,2\r\n') == [
        {"text": 'a, "b"\r\nc', "label": "1"},
        {"text": "d", "label": "2"},
    ]


def test_a_quote_inside_of_an_unquoted_field_is_a_letter() -> None:
    assert read('text,label\n5" screen,1\n')[0]["text"] == '5" screen'


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    others = ",;\t|".replace(delimiter, "")
    text = f"text{delimiter}label\n" + f"one{others}two{delimiter}1\n" * 3
    assert read(text)[0] == {"text": f"one{others}two", "label": "1"}


@pytest.mark.parametrize("line", ["sep=;\r\n", '"sep=;"\n', "SEP=;\r"])
def test_the_line_by_which_excel_names_the_delimiter_is_no_row(line: str) -> None:
    assert read(line + "text;label\r\na, b;1\r\n") == [{"text": "a, b", "label": "1"}]
    assert "the row at line 3 has 1 field" in fault(line + "text;label\na, b\n")
    assert "is empty" in fault(line)
    assert read("sep=,\n", wanted=("sep=",)) == [] if line == "" else True


def test_several_columns_without_a_name_are_numbered() -> None:
    rows = read("text;label;;\r\na film;1;;\r\n;;;\r\n")
    assert rows[0] == {"text": "a film", "label": "1", "3": "", "4": ""}
    assert len(rows) == 2
    assert read(",text,label\n0,a film,1\n")[0] == {"": "0", "text": "a film", "label": "1"}


def test_a_row_too_wide_does_not_hide_the_delimiter() -> None:
    assert "line 3 has 3 fields" in fault("text;label\na, b;1\nc; d;1\n")


def test_one_column_is_one_column_whatever_is_in_it() -> None:
    assert [row["text"] for row in read("text\nplain words\n\nmore; words\n")] == [
        "plain words",
        "more; words",
    ]


def test_old_mac_line_ends() -> None:
    assert read("text,label\ra,1\rb,2\r") == [
        {"text": "a", "label": "1"},
        {"text": "b", "label": "2"},
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("3,A fine day\n1,Another one\n", "a number is no name"),
        ("good stuff,pos\nbad stuff,neg\nfair stuff,pos\n", "a class comes again below"),
        ("great text,pos\nbad,neg\nfair,pos\n", "even with the word text in it"),
        ("x" * 65 + ",y\nb,z\n", "longer than any name"),
    ],
)
def test_a_file_without_a_header_gets_numbered_columns(text: str, why: str) -> None:
    table = opened(text)
    assert (table.schema.names, table.has_header) == (["1", "2"], False), why
    assert sum(batch.num_rows for batch in table) == text.count("\n")


@pytest.mark.parametrize(
    "header",
    ["text,label", "Review Text,Stars", "id,comment_text", "x,y", "Class Index,Title", "0,1"],
)
def test_a_header_is_known_by_its_words_or_by_not_coming_again(header: str) -> None:
    table = opened(f"{header}\na b c,1\nd e f,2\n")
    assert (table.schema.names, table.has_header) == (header.split(","), True)


@pytest.mark.parametrize(
    ("first", "is_header"),
    [
        ("I love this film", False),
        ("Great stuff!", False),
        ("Your comment (optional)", True),
        ("Kundenkommentar zum Aufenthalt", True),
        ("Review", True),
    ],
)
def test_a_sentence_alone_is_a_text_and_no_header(first: str, is_header: bool) -> None:
    table = opened(f"{first}\nIt was long and dull\nNever again would I go\n")
    assert table.has_header == is_header
    assert sum(batch.num_rows for batch in table) == 3 - is_header


def test_the_header_of_a_second_file_does_not_make_the_first_one_a_row() -> None:
    assert opened("text,label\na,1\ntext,label\nb,2\n").has_header


def test_names_that_the_user_gives_settle_what_the_first_row_is() -> None:
    assert opened("7,8\na b,c d\n", wanted=("7",)).schema.names == ["7", "8"]
    assert not opened("foo,bar\na b,c d\n", wanted=("1", "2")).has_header
    assert opened("pos,foo\npos,a\n", wanted=("pos", "foo")).has_header


def test_a_column_without_a_name_is_kept() -> None:
    assert read(",text\n0,a b\n") == [{"": "0", "text": "a b"}]


def test_an_empty_file() -> None:
    assert fault("") == fault("\n\n") == "a: is empty: expected rows of text."


def test_a_header_and_nothing_else() -> None:
    assert read("text,label\n") == []
    assert fault("colour,shape\n") == (  # which may be a text, and must not be lost
        "a: has only a header ('colour, shape'): expected rows of text below it."
    )


def test_two_columns_of_one_name() -> None:
    assert "2 columns are called 'text': expected every column name once" in fault("text,text\na,b")


@pytest.mark.parametrize(("row", "width"), [("a,b,1", "3 fields"), ("a", "1 field")])
def test_a_row_of_another_width_is_named_by_its_line(row: str, width: str) -> None:
    message = fault(f'text,label\n"two\nlines",1\n\n{row}\n')
    assert f"a: the row at line 5 has {width} ('a" in message
    assert "expected 2 as in the first row ('text, label')" in message
    assert "must stand in double quotes" in message


def test_a_quote_that_is_never_closed() -> None:
    message = fault('text,label\na,1\n"b,2\nc,3\n')
    assert "a quote opened in the row at line 3 is never closed" in message


def test_a_stray_quote() -> None:
    assert "a stray quote in the row at line 2" in fault('text,label\n"He said "no" to it",1\n')


def test_quotes_in_tsv_enclose_where_the_whole_file_reads_so() -> None:
    assert read('text\tlabel\n"a b\nc"\t1\n"d ""e"""\t2\n', ".tsv") == [
        {"text": "a b\nc", "label": "1"},
        {"text": 'd "e"', "label": "2"},
    ]


@pytest.mark.parametrize(
    "rows",
    [
        ['"unbalanced', "fine"],
        ['"Quoted" and more', "fine"],
        ['"two rows that', 'seem one"'],
    ],
)
def test_quotes_in_tsv_are_letters_where_they_do_not_enclose(rows: list[str]) -> None:
    text = "text\tlabel\n" + "".join(f"{row}\t1\n" for row in rows)
    assert [row["text"] for row in read(text, ".tsv")] == rows


def test_the_quotes_of_a_tsv_file_are_looked_at_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("text\tlabel\n" + "an ordinary row\t1\n" * 80_000 + '"stray\t2\n')
    with open_delimited(open_lines(path), ".tsv", source=path) as table:
        last = list(table)[-1].to_pylist()[-1]
    assert last == {"text": '"stray', "label": "2"}


def test_a_sample_that_ends_inside_of_a_quoted_field() -> None:
    row = '"first line\nsecond line"\t1\n'
    data = ("text\tlabel\n" + row * 60_000).encode()
    head = data[:SNIFF_BYTES]
    assert data[: head.rfind(b"\n")].endswith(b"first line")  # so that this tests something
    with open_delimited(LineReader("a", io.BytesIO(data), head, None), ".tsv") as table:
        assert sum(batch.num_rows for batch in table) == 60_000


def test_lines_of_a_sample_end_where_those_of_a_file_do() -> None:
    assert read('text\tlabel\na\x85b\t1\n"c\nd"\t2\n', ".tsv")[1]["text"] == "c\nd"


def test_a_field_longer_than_the_limit_of_the_csv_module() -> None:
    assert len(read("text,label\n" + "ab " * 100_000 + ",1\n")[0]["text"]) == 300_000


def test_reading_takes_memory_for_a_batch_and_not_for_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + ("some words and more " * 50 + ",1\n") * 20_000)
    tracemalloc.start()
    try:
        with open_delimited(open_lines(path), ".csv", source=path) as table:
            rows = sum(batch.num_rows for batch in table)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows == 20_000
    assert path.stat().st_size > 20_000_000 > 1.5 * peak


cells = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from(",;\"'\n|"))


@settings(deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8), st.sampled_from([",", "\t"]))
def test_what_python_writes_comes_back(rows: list[tuple[str, str]], delimiter: str) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([("text", "label"), *rows])
    suffix = ".csv" if delimiter == "," else ".tsv"
    wanted = ("text", "label")
    assert [tuple(row.values()) for row in read(out.getvalue(), suffix, wanted)] == rows


def test_a_first_line_of_stdin_is_a_header_only_with_usual_names() -> None:
    known = ("text", "review")
    assert looks_delimited("id,text", (), known) == ".csv"
    assert looks_delimited("id;Text", (), known) == ".csv"
    assert looks_delimited("review\tstars", (), known) == ".tsv"
    assert looks_delimited("text", (), known) == ".csv"
    assert looks_delimited("Great, I loved the text", (), known) is None
    assert looks_delimited("one,two", (), known) is None
    assert looks_delimited("one,two", ("two",), known) == ".csv"
