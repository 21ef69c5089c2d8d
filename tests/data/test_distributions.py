from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ulmfit.data.distributions import class_names, is_fasttext, numbered_classes, open_known_file
from ulmfit.errors import InputError


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, *wanted: str) -> list[tuple[object, ...]]:
    with open_known_file(path, wanted=wanted) as table:
        return [tuple(row.values()) for batch in table for row in batch.to_pylist()]


TREC = b"DESC:manner How did serfdom develop ?\nENTY:cremat What sister\xf0city ?\n"


def test_trec_gives_question_coarse_and_fine_label(tmp_path: Path) -> None:
    assert read(put(tmp_path / "train_5500.label", TREC)) == [
        ("How did serfdom develop ?", "DESC", "DESC:manner"),
        ("What sisterðcity ?", "ENTY", "ENTY:cremat"),
    ]


def test_trec_in_utf_8(tmp_path: Path) -> None:
    path = put(tmp_path / "a.label", TREC.decode("latin-1").encode())
    assert read(path)[1][0] == "What sisterðcity ?"


def test_trec_in_another_encoding_on_request(tmp_path: Path) -> None:
    path = put(tmp_path / "a.label", "NUM:dist 몇 킬로미터 ?\n".encode("cp949"))
    with open_known_file(path, encoding="cp949") as table:
        assert next(iter(table)).to_pylist()[0]["text"] == "몇 킬로미터 ?"


def test_a_line_that_is_not_of_trec(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.label: line 3 is 'How far': expected COARSE:fine"):
        read(put(tmp_path / "a.label", TREC + b"How far\n"))


AG = (
    '"3","Wall St. Bears Claw Back\\band","Short-sellers, ""ultra-cynics"", see #36;"\n'
    '"4","Title","Description"\n'
)


def test_zhang_title_and_description_with_named_classes(tmp_path: Path) -> None:
    put(tmp_path / "classes.txt", "World\nSports\nBusiness\nSci/Tech\n")
    assert read(put(tmp_path / "test.csv", AG)) == [
        ("Business", 'Wall St. Bears Claw Back\\band\nShort-sellers, "ultra-cynics", see #36;'),
        ("Sci/Tech", "Title\nDescription"),
    ]


def test_zhang_without_names_for_the_classes(tmp_path: Path) -> None:
    assert [row[0] for row in read(put(tmp_path / "train.csv", AG))] == ["3", "4"]


def test_zhang_reviews_have_their_newlines_and_quotes_put_back(tmp_path: Path) -> None:
    yelp = '"2","I said \\""no\\"".\\n\\nNever again"\n"1","Bad"\n'
    assert read(put(tmp_path / "yelp_review_full_csv/train.csv", yelp)) == [
        ("2", 'I said "no".\n\nNever again'),
        ("1", "Bad"),
    ]


def test_the_polarity_set_has_names_for_its_classes(tmp_path: Path) -> None:
    yelp = '"2","Good"\n"1","Bad"\n'
    path = put(tmp_path / "yelp_review_polarity_csv/train.csv", yelp)
    assert [row[0] for row in read(path)] == ["positive", "negative"]


def test_a_class_beyond_the_names(tmp_path: Path) -> None:
    put(tmp_path / "classes.txt", "World\nSports\n")
    with pytest.raises(InputError, match=r"row 1: class '3': expected a number from 1 to 2, as cl"):
        read(put(tmp_path / "train.csv", AG))


def test_column_numbers_that_the_user_gives_are_kept(tmp_path: Path) -> None:
    with open_known_file(put(tmp_path / "a.csv", AG), wanted=["3", "1"]) as table:
        assert table.schema.names == ["1", "2", "3"]


@pytest.mark.parametrize(
    "content",
    [
        "".join(f"{n},some text\n" for n in range(30)),
        "2019,some text\n",
        "1,2,some text\n",
        "good stuff,pos\nfair stuff,pos\n",
        "1,a,b,c,d\n",
    ],
)
def test_other_files_without_a_header_keep_their_columns(tmp_path: Path, content: str) -> None:
    with open_known_file(put(tmp_path / "a.csv", content)) as table:
        assert table.schema.names == [
            str(n + 1) for n in range(content.split("\n")[0].count(",") + 1)
        ]


def test_ag_news_written_as_zhang_comes_back(
    tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    table = pq.read_table(shared_data("ag_news") / "test.parquet").to_pydict()
    names = ["World", "Sports", "Business", "Sci_Tech"]
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for text, label in zip(table["text"], table["label"], strict=True):
        writer.writerow([names.index(label) + 1, *text.split("\n", 1)])
    put(tmp_path / "classes.txt", "\n".join(names))
    rows = read(put(tmp_path / "test.csv", out.getvalue()))
    assert rows == list(zip(table["label"], table["text"], strict=True))


def test_names_of_classes(tmp_path: Path) -> None:
    assert class_names(tmp_path) == {}
    assert numbered_classes("a\n\nb\n", "x") == {"1": "a", "2": "b"}


FASTTEXT = "__label__pos a fine film\n\n__label__neg , dull\n"


def test_fasttext_with_one_label_per_line(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", FASTTEXT)
    assert is_fasttext(path)
    assert read(path) == [("pos", "a fine film"), ("neg", ", dull")]


def test_fasttext_with_several_labels(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", FASTTEXT + "__label__pos __label__long an epic\n")
    assert read(path)[2] == (["pos", "long"], "an epic")


def test_a_fasttext_line_without_a_label_does_not_make_it_multi_label(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "__label__pos fine\n" * 100 + "no label\n")
    assert read(path)[-2:] == [("pos", "fine"), (None, "no label")]


def test_other_text_is_not_fasttext(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", FASTTEXT + "a line of its own\n")
    assert not is_fasttext(path)
    assert not is_fasttext(put(tmp_path / "empty.txt", ""))
    assert len(read(path)) == 4


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("questions", b"one\n" * 200_000, [("one",)] * 200_000),
        ("a.label", b"NUM:dist How far ?\n", [("How far ?", "NUM", "NUM:dist")]),
    ],
)
def test_a_pipe_is_read_once(
    tmp_path: Path, name: str, content: bytes, rows: list[tuple[str, ...]]
) -> None:
    path = tmp_path / name
    os.mkfifo(path)
    with ThreadPoolExecutor() as pool:
        pool.submit(path.write_bytes, content)
        assert read(path) == rows
