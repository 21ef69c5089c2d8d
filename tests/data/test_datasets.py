from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ulmfit.data.datasets import (
    Dataset,
    Split,
    from_python,
    load_dataset,
    rows_with_text,
    sort_classes,
    text_digest,
    training_rows,
)
from ulmfit.errors import InputError


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


REVIEWS = "text,label\nA fine film,pos\nA dull one,neg\n"


def test_a_data_set_knows_where_it_comes_from(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", REVIEWS)
    assert load_dataset(path) == Dataset(
        texts=["A fine film", "A dull one"],
        labels=["pos", "neg"],
        name=str(path),
        multi_label=False,
        text_column="text",
        label_column="label",
    )


def test_a_part_of_a_data_set() -> None:
    data = Dataset(["a", "b", "c"], ["x", "y", "z"], name="n")
    assert data.subset([2, 0]) == Dataset(["c", "a"], ["z", "x"], name="n")
    assert Dataset(["a", "b"]).subset([1]) == Dataset(["b"])
    assert len(data) == 3


def test_rows_of_a_part_keep_their_numbers() -> None:
    whole = Dataset(["a", "b", "c", "d"], ["x", "y", "x", "y"])
    part = whole.subset([3, 1]).subset([1])
    assert part.texts == ["b"] and part.source_row(0) == 2
    assert whole.source_row(3) == 4


def test_classes_are_sorted_by_value_or_by_letter() -> None:
    assert Dataset(["a"] * 3, ["10", "9", "10"]).classes == ["9", "10"]
    assert Dataset(["a"] * 2, [("b", "a"), ()], multi_label=True).classes == ["a", "b"]
    assert Dataset(["a"]).classes == []
    assert sort_classes(["--1", "2"]) == ["--1", "2"]
    assert sort_classes(["-1", "2", "x"]) == ["-1", "2", "x"]
    assert sort_classes(["10", "-2"]) == ["-2", "10"]


SETS: list[tuple[str, Split, int, int]] = [
    ("imdb", "train", 25_000, 2),
    ("imdb", "test", 25_000, 2),
    ("imdb", "unsup", 50_000, 1),
    ("ag_news", "train", 32_551, 4),
    ("dbpedia", "test", 7_600, 14),
    ("yelp_full", "train", 4_789, 5),
    ("yelp_polarity", "test", 799, 2),
    ("nsmc", "test", 50_000, 2),
    ("trec6", "test", 500, 6),
]


@pytest.mark.parametrize(("name", "split", "rows", "classes"), SETS)
def test_the_shared_data(
    shared_data: Callable[[str], Path], name: str, split: Split, rows: int, classes: int
) -> None:
    folder = shared_data(name)
    data = load_dataset(f"name:{name}", split=split, data_dir=folder.parent)
    table = pq.read_table(folder / f"{split}.parquet")
    assert (len(data), len(data.classes)) == (rows, classes)
    assert data.texts == table["text"].to_pylist()
    assert data.labels == table["label"].to_pylist()


def test_a_corpus_without_labels(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("wikitext2")
    data = load_dataset(folder, split="valid", require_labels=False)
    assert (len(data), data.labels, data.label_column) == (60, None, None)
    assert len("".join(data.texts).split()) == 213_886
    with pytest.raises(InputError, match="no column is clearly the label"):
        load_dataset(folder, split="valid")


def test_labels_are_taken_along_where_they_are_not_needed(tmp_path: Path) -> None:
    assert load_dataset(put(tmp_path / "a.csv", REVIEWS), require_labels=False).labels


def test_gaps_in_labels_that_are_not_needed(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", REVIEWS + "And another,\n")
    data = load_dataset(path, require_labels=False)
    assert (len(data), data.labels, data.label_column) == (3, None, None)
    with pytest.raises(InputError, match="1 of 3 rows have no label"):
        load_dataset(path, label="label", require_labels=False)


def test_a_text_file_without_labels(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "one\n\ntwo,\nstill two\n")
    assert load_dataset(path, require_labels=False).texts == ["one", "two,\nstill two"]
    with pytest.raises(InputError, match="no column is clearly the label"):
        load_dataset(path)


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(REVIEWS.encode()))))
    assert load_dataset("-").labels == ["pos", "neg"]


def test_columns_by_name_and_number(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "kind,words\nx,one two\ny,three\n")
    assert load_dataset(path, text="words", label="kind").labels == ["x", "y"]
    bare = put(tmp_path / "b.csv", "x,one two\ny,three\nx,four\n")
    assert load_dataset(bare, text="2", label="1").labels == ["x", "y", "x"]


def test_several_labels_per_row(tmp_path: Path) -> None:
    rows = '{"text": "a", "tags": ["x", "y"]}\n{"text": "b", "tags": []}\n'
    data = load_dataset(put(tmp_path / "a.jsonl", rows))
    assert (data.labels, data.multi_label) == ([("x", "y"), ()], True)
    table = pa.table({"text": ["a", "b"], "labels": [[1, 2], [2]]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert load_dataset(tmp_path / "a.parquet").labels == [("1", "2"), ("2",)]
    path = put(tmp_path / "a.csv", "text,labels\na,x|y\nb,\n")
    assert load_dataset(path, label_separator="|").labels == [("x", "y"), ()]
    path = put(tmp_path / "b.csv", "text,toxic,threat\na,1,0\nb,0,0\n")
    flags = load_dataset(path, label="toxic,threat")
    assert (flags.labels, flags.label_column) == ([("toxic",), ()], "toxic,threat")


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.float64(), pa.float32(), pa.string()])
def test_whole_numbers_are_the_same_classes_in_any_type(tmp_path: Path, kind: pa.DataType) -> None:
    labels = pa.array([1, 2, 10], pa.float64()).cast(kind)
    pq.write_table(pa.table({"text": ["a", "b", "c"], "label": labels}), tmp_path / "a.parquet")
    data = load_dataset(tmp_path / "a.parquet")
    assert data.labels == ["1", "2", "10"]
    path = put(tmp_path / "a.csv", "text,label\na,1.0\nb,2.0\nc,10.0\n")
    assert load_dataset(path).labels == ["1", "2", "10"]


def test_truth_values_are_the_same_classes_in_any_type(tmp_path: Path) -> None:
    as_json = put(tmp_path / "a.jsonl", '{"text": "a", "label": true}\n')
    as_csv = put(tmp_path / "a.csv", "text,label\na,True\n")
    assert load_dataset(as_json).labels == load_dataset(as_csv).labels == ["True"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,label\na,x\nb,\nc, \n"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": null}\n{"text": "c"}\n'),
        ("a.jsonl", '{"text": "a", "label": 0.5}\n{"text": "b", "label": NaN}\n{"text": "c"}\n'),
    ],
)
def test_rows_without_a_label_are_counted_and_the_first_is_named(
    tmp_path: Path, name: str, content: str
) -> None:
    path = put(tmp_path / name, content)
    with pytest.raises(InputError) as caught:
        load_dataset(path)
    assert str(caught.value) == (
        f"{path}: 2 of 3 rows have no label in column 'label' (empty, null or NaN), the first is "
        "row 2: expected a label in every row. Take these rows out; texts without a label can be "
        "given by `--unlabeled FILE`."
    )


def test_rows_with_neither_text_nor_label_are_left_out(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text;label;;\na;x;;\n ;;;\nb;y;;\n;;;\n")
    with pytest.warns(UserWarning, match="2 of 4 rows have neither text nor label and are left"):
        dataset = load_dataset(path)
    assert (dataset.texts, dataset.labels) == (["a", "b"], ["x", "y"])
    assert dataset.source_row(1) == 3
    path = put(tmp_path / "b.jsonl", '{"text": "", "label": null}\n' * 2)
    with pytest.raises(InputError, match="2 of 2 rows have no label"):
        load_dataset(path, text="text", label="label")


def test_rows_without_a_label_beside_several_in_one(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text,tags\na,x\nb,\nc,x|y\nd,y\n")
    with pytest.raises(InputError, match="several labels, or none: `--multi-label`"):
        load_dataset(path)


def test_missing_texts_are_empty_texts(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", '{"text": null, "label": "x"}\n{"text": "a", "label": "y"}\n')
    assert load_dataset(path).texts == ["", "a"]


def test_parquet_without_rows(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: has no rows: expected rows of text"):
        load_dataset(tmp_path / "a.parquet")


def test_an_encoding_is_passed_on(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text,label\ncafé,x\n".encode("cp1252"))
    with pytest.raises(InputError, match="is not utf-8"):
        load_dataset(path)
    assert load_dataset(path, encoding="cp1252").texts == ["café"]


def test_empty_and_blank_texts_are_left_out_of_training_with_a_warning() -> None:
    data = Dataset(["a", "", "b", " \n", "c"], ["x", "x", "y", "y", "x"], name="a.csv")
    with pytest.warns(UserWarning) as caught:
        kept = training_rows(data)
    assert (kept.texts, kept.labels) == (["a", "b", "c"], ["x", "y", "x"])
    assert [str(warning.message) for warning in caught] == [
        "a.csv: 2 of 5 rows have an empty or blank text and are left out of training; "
        "the first is row 2."
    ]


def test_a_clean_set_is_trained_on_as_it_is() -> None:
    data = Dataset(["a", "b"], ["x", "y"])
    assert training_rows(data) is data
    several = Dataset(["a", "b"], [("x",), ()], multi_label=True)
    assert training_rows(several) is several


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Dataset(["a"]), "data: has no labels. Name the column with `--label COL`."),
        (
            Dataset(["", " "], ["x", "y"]),
            "data: all 2 texts are empty or blank: expected text to learn from. "
            "Is the text in another column? Name it with `--text COL`.",
        ),
        (
            Dataset(["a", "b"], ["x", "x"], label_column="kind"),
            "data: all 2 rows have the label 'x' (column 'kind'): expected at least two classes. "
            "Name the column with the classes with `--label COL`.",
        ),
        (
            Dataset(["a"] * 20, [str(n) for n in range(20)], label_column="id"),
            "data: each of the 20 rows has a label of its own (column 'id'): expected classes "
            "with several rows each. Name the column with the classes with `--label COL`.",
        ),
        (
            Dataset(["a"], list[tuple[str, ...]]([()]), multi_label=True),
            "data: no row has any label. Name the column with the classes with `--label COL`.",
        ),
    ],
)
def test_what_cannot_be_trained_on(data: Dataset, message: str) -> None:
    with pytest.raises(InputError) as caught:
        training_rows(data)
    assert str(caught.value) == message


def test_classes_are_judged_on_the_whole_of_the_training_data() -> None:
    whole = Dataset(["a"] * 40, [str(n % 20) for n in range(40)])
    assert len(training_rows(whole.subset(range(20)))) == 20
    valid = Dataset(["a"] * 20, [str(n) for n in range(20)])
    assert rows_with_text(valid) is valid
    with pytest.warns(UserWarning, match="1 of 2 rows"):
        assert len(rows_with_text(Dataset(["a", ""], ["x", "x"]))) == 1


def test_one_class_left_after_the_blank_texts_are_gone() -> None:
    data = Dataset(["a", "b", ""], ["x", "x", "y"])
    with pytest.warns(UserWarning, match="1 of 3 rows"), pytest.raises(InputError, match="all 2"):
        training_rows(data)


def test_from_python() -> None:
    assert from_python(["a", "b"], [1, 2]) == Dataset(["a", "b"], ["1", "2"])
    assert from_python(("a",), [["x", "y"]]).multi_label
    assert from_python(["a"]).labels is None
    with pytest.raises(InputError, match="mails: 2 texts and 1 labels: expected as many of both"):
        from_python(["a", "b"], ["x"], name="mails")


def test_where_a_text_ends_counts() -> None:
    assert text_digest(["ab", "c"]) != text_digest(["a", "bc"])
