"""Each way in which data can be bad: one clear error, whoever reads it."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ulmfit.data.check import check_dataset
from ulmfit.data.datasets import iter_texts, load_dataset, open_rows, training_rows
from ulmfit.errors import InputError, UlmfitError

GOOD = b"text,label\nA fine film,pos\nA dull one,neg\n"
CASES: dict[str, tuple[str, bytes, str]] = {
    "a wrong encoding": (
        "a.csv",
        GOOD + "Un café,pos\n".encode("latin-1"),
        "line 4 (byte 49 of the file): 0xe9 after 'Un caf' is not utf-8",
    ),
    "UTF-16 without its mark": ("a.csv", GOOD.decode().encode("utf-16-le"), "looks like UTF-16"),
    "a picture": ("a.csv", b"\x89PNG\r\n\x1a\n\0\0", "is a PNG image: expected text"),
    "a program": ("a.csv", b"\x7fELF\x02\x01", "is a program (ELF): expected text"),
    "binary rubbish": ("a.jsonl", random.Random(1).randbytes(999), "is a binary file"),
    "an empty file": ("a.csv", b"", "is empty: expected rows of text"),
    "a ragged row": ("a.csv", GOOD + b"a,b,c\n", "the row at line 4 has 3 fields ('a | b | c')"),
    "an open quote": ("a.csv", GOOD + b'"a,b\n', "a quote opened in the row at line 4 is never"),
    "a column twice": ("a.csv", b"text,text\na,b\n", "2 columns are called 'text'"),
    "a cut gzip file": ("a.csv.gz", gzip.compress(GOOD)[:-9], "damaged or cut gzip data"),
    "no gzip at all": ("a.csv.gz", GOOD, "is called .gz but is not gzip"),
    "no Parquet at all": ("a.parquet", GOOD, "is not Parquet, or damaged or cut"),
    "a broken line": ("a.jsonl", b'{"text": "a"}\n{"te\n', "line 2, column 2 is not JSON"),
    "a line of its own kind": ("a.jsonl", b'{"text": "a"}\n7\n', "line 2 is '7': expected a JSON"),
    "an unknown type": ("a.docx", b"PK\x03\x04", "files of type .docx are not read"),
}

Reader = Callable[[Path], object]


def all_rows(path: Path) -> list[list[str]]:
    with open_rows(path) as rows:
        return [rows.texts(batch) for batch in rows]


READERS: dict[str, Reader] = {
    "load_dataset": load_dataset,
    "iter_texts": lambda path: list(iter_texts(path)),
    "open_rows": all_rows,
    "check_dataset": check_dataset,
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize(("name", "content", "message"), CASES.values(), ids=CASES)
def test_bad_input_is_named_by_every_reader(
    tmp_path: Path, name: str, content: bytes, message: str, reader: Reader
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        reader(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_missing_file_offers_the_nearest_name(tmp_path: Path, reader: Reader) -> None:
    (tmp_path / "reviews.csv").write_bytes(GOOD)
    with pytest.raises(
        InputError, match=r"revews\.csv: no such file or folder\. Did you mean .*/re"
    ):
        reader(tmp_path / "revews.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing in it can be read"):
        reader(tmp_path / "empty")


@pytest.mark.parametrize("codec", ["utf-16", "utf-8-sig"])
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_byte_order_mark_does_no_harm(tmp_path: Path, reader: Reader, codec: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(GOOD.decode().encode(codec))
    assert reader(path)
    assert load_dataset(path).text_column == "text"


def test_a_line_of_a_hundred_megabytes_is_just_long(tmp_path: Path) -> None:
    long = b"lorem ipsum dolor sit amet " * 3_700_000
    path = tmp_path / "a.csv"
    path.write_bytes(GOOD + long + b",pos\n")
    assert len(load_dataset(path).texts[2]) == len(long)
    path.write_bytes(b"1," + long)  # and no line end at all
    with pytest.raises(InputError, match="all 1 rows have the label '1'") as caught:
        training_rows(load_dataset(path))
    assert len(str(caught.value)) < 400


SEEDS = [
    (".csv", GOOD),
    (".csv", b'"3","Title","With ""quotes"""\n"1","Other","Words"\n'),
    (".tsv", b'text\tlabel\n"a\tb"\tpos\nc "d"\tneg\n'),
    (".jsonl", b'{"text": "a\\u00fc", "label": 1, "x": [1, {"y": null}]}\n{"text": "b"}\n'),
    (".txt", b"one\ntwo\n\n\xc3\xbc three\n"),
    (".txt", b"__label__a one\n__label__b __label__c two\n"),
    (".label", b"NUM:dist How far ?\nHUM:ind Who \xf0 ?\n"),
    (".csv.gz", gzip.compress(GOOD, mtime=0)),
]
PIECES = [
    b'"',
    b",",
    b"\n",
    b"\r",
    b"\t",
    b"\0",
    b"{",
    b"]",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\\ud800",
]


@pytest.mark.filterwarnings("ignore:.* have neither text nor label:UserWarning")  # such rows go
@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(SEEDS),
    st.integers(0, 60),
    st.integers(0, 8),
    st.sampled_from(PIECES) | st.binary(max_size=6),
)
@example((".jsonl", b'{"\\ud800": ["\\udc00"]}'), 0, 0, b"")
@example((".csv", b"text,label\na b,pos\nc,neg\n,\n"), 0, 0, b"")
def test_damage_anywhere_gives_rows_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory,
    seed: tuple[str, bytes],
    place: int,
    removed: int,
    added: bytes,
) -> None:
    suffix, content = seed
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    path.write_bytes(content[:place] + added + content[place + removed :])
    for reader in READERS.values():
        try:
            reader(path)
        except UlmfitError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("reader", [load_dataset, check_dataset])
def test_only_a_header_is_nothing_to_train_on_or_to_look_at(tmp_path: Path, reader: Reader) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\n")
    with pytest.raises(InputError) as caught:
        reader(path)
    assert str(caught.value) == (
        f"{path}: has only a header ('text, label'): expected rows of text below it."
    )
    assert all_rows(path) == []
