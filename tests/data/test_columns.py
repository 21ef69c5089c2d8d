from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pytest

from ulmfit.data.columns import label_columns, text_columns, text_values
from ulmfit.data.tables import Table
from ulmfit.errors import InputError

TEXTS = ["a very fine film", "not a good one", "what a long evening", "I liked it a lot"]
CHINESE = ["这部电影非常好看", "剧情有点无聊啊", "我很喜欢这个故事", "演员的表现不错"]
CLASSES = ["pos", "neg", "neg", "pos"]


def table_of(columns: Mapping[str, object], **known: str) -> Table:
    batch = pa.RecordBatch.from_pydict(dict(columns))
    return Table("a.csv", batch.schema, iter([batch]), **known)  # type: ignore[arg-type]


def text_of(columns: Mapping[str, object], asked: str | None = None) -> tuple[str, ...]:
    return text_columns(table_of(columns), asked)


def label_of(columns: Mapping[str, object], asked: str | None = None) -> tuple[str, ...]:
    return label_columns(table_of(columns), asked, ("text",))


@pytest.mark.parametrize(
    "name",
    ["text", "Review", "sentence", "CONTENT", "document", "review_text", "Tweet Text", "title"],
)
def test_the_text_is_known_by_its_name(name: str) -> None:
    assert text_of({"id": ["1", "2"], name: ["a", "b"], "label": ["x", "y"]}) == (name,)


@pytest.mark.parametrize(
    "name", ["label", "Class", "category", "target", "sentiment", "class_label"]
)
def test_the_label_is_known_by_its_name(name: str) -> None:
    assert label_of({"text": TEXTS, "id": [1, 2, 3, 4], name: CLASSES}) == (name,)


def test_the_plainest_name_wins() -> None:
    assert text_of({"title": TEXTS, "text": TEXTS, "text_id": TEXTS}) == ("text",)
    assert label_of({"text": TEXTS, "category": CLASSES, "label": CLASSES}) == ("label",)


def test_names_about_a_text_or_label_are_not_it() -> None:
    columns = {"text_length": ["1"], "review_id": ["2"], "body_text": ["3"], "label_count": ["4"]}
    assert text_of(columns) == ("body_text",)


@pytest.mark.parametrize("texts", [TEXTS, CHINESE])
def test_the_text_is_known_by_its_content(texts: list[str]) -> None:
    columns = {
        "key": ["8f3a-11", "8f3a-12", "8f3a-13", "8f3a-14"],
        "x": texts,
        "when": ["2020-01-01 10:00"] * 4,
        "kind": CLASSES,
    }
    assert text_of(columns) == ("x",)


def test_the_label_is_known_by_its_content() -> None:
    assert label_of({"text": TEXTS, "id": [1, 2, 3, 4], "verdict": CLASSES}) == ("verdict",)
    assert label_of({"text": TEXTS, "x": [0.5, 1.5, 0.5, 1.5], "y": [1, 0, 0, 1]}) == ("y",)
    assert label_of({"text": TEXTS, "z": [["a"], ["b"], ["a"], ["b"]]}) == ("z",)


def test_the_only_other_column_of_a_few_rows_is_the_label() -> None:
    assert label_of({"text": TEXTS[:2], "verdict": ["yes", "no"]}) == ("verdict",)


def test_the_only_column_is_the_text() -> None:
    assert text_of({"x": ["one", "two"]}) == ("x",)


def test_no_column_is_clearly_the_text() -> None:
    with pytest.raises(InputError) as caught:
        text_of({"id": [1, 2], "kind": ["a", "b"]})
    assert str(caught.value) == (
        "a.csv: no column is clearly the text: expected one of the columns 'id', 'kind' to be "
        "named. Name it with `--text COL`."
    )


def test_several_columns_could_be_the_text() -> None:
    with pytest.raises(InputError) as caught:
        text_of({"question": TEXTS, "title": TEXTS, "n": [1, 2, 3, 4]})
    assert str(caught.value) == (
        "a.csv: 'question' and 'title' could both be the text: expected one of the columns "
        "'question', 'title', 'n' to be named. "
        "Name it with `--text COL`, or join them: `--text question,title`."
    )


def test_several_columns_could_be_the_label() -> None:
    with pytest.raises(InputError) as caught:
        label_of({"text": TEXTS, "one": CLASSES, "two": CLASSES, "three": CLASSES})
    assert "'one', 'two', 'three' could be the label" in str(caught.value)
    assert "Name it with `--label COL`." in str(caught.value)


def test_several_columns_of_0_and_1_could_be_labels_together() -> None:
    with pytest.raises(InputError) as caught:
        label_of({"text": TEXTS, "spam": ["0", "1", "0", "1"], "rude": ["1", "1", "0", "0"]})
    assert str(caught.value).endswith(
        "Name it with `--label COL`. If each is a label that a row can have: `--label spam,rude`."
    )
    with pytest.raises(InputError) as caught:
        label_of({"text": TEXTS, "spam": [0, 1, 0, 1], "points": [1, 5, 1, 5]})
    assert str(caught.value).endswith("Name it with `--label COL`.")


def test_ids_and_measures_are_no_labels() -> None:
    with pytest.raises(InputError, match="no column is clearly the label"):
        label_of({"text": TEXTS * 9, "id": list(range(36)), "x": [n / 7 for n in range(36)]})


def test_guessing_by_name_only() -> None:
    table = table_of({"text": TEXTS, "verdict": CLASSES})
    with pytest.raises(InputError, match="no column is clearly the label"):
        label_columns(table, None, ("text",), by_content=False)


def test_what_the_format_knows_is_not_guessed() -> None:
    table = table_of({"x": TEXTS, "text": TEXTS, "y": CLASSES}, known_text="x", known_label="y")
    assert (text_columns(table, None), label_columns(table, None, ("x",))) == (("x",), ("y",))


def test_columns_asked_for() -> None:
    columns = {"title": TEXTS, "body": TEXTS, "a,b": TEXTS, "toxic": [0, 1, 0, 1]}
    assert text_of(columns, "body") == ("body",)
    assert text_of(columns, "title, body") == ("title", "body")
    assert text_of(columns, "a,b") == ("a,b",)
    assert label_of(columns, "toxic") == ("toxic",)


def test_a_column_that_is_not_there_offers_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        text_of({"Review": TEXTS, "stars": CLASSES}, "reviews")
    assert str(caught.value) == (
        "a.csv: no column 'reviews' (given by --text): expected one of 'Review', 'stars'. "
        "Did you mean 'Review'?"
    )
    with pytest.raises(InputError, match=r"no column 'x' \(given by --label\)"):
        label_of({"text": TEXTS}, "x")


def test_numbered_columns_are_explained() -> None:
    table = table_of({"1": TEXTS})
    table.has_header = False
    with pytest.raises(InputError, match="'1'; it has no header, so columns are numbered"):
        text_columns(table, "text")


def test_many_columns_are_not_all_listed() -> None:
    with pytest.raises(InputError, match=r"'c29', \.\.\. to be named"):
        text_of({f"c{n}": [n] for n in range(50)})


def test_texts_of_any_type_and_missing_ones() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "plain": ["a", None],
            "large": pa.array(["a", None], pa.large_string()),
            "coded": pa.array(["a", None]).dictionary_encode(),
            "number": [1.5, None],
            "null": pa.nulls(2),
        }
    )
    for name in ("plain", "large", "coded"):
        assert text_values("a", batch, name) == ["a", ""]
    assert text_values("a", batch, "number") == ["1.5", ""]
    assert text_values("a", batch, "null") == ["", ""]


def test_lists_and_bytes_are_no_texts() -> None:
    batch = pa.RecordBatch.from_pydict({"x": [["a"]], "y": [b"a"]})
    with pytest.raises(
        InputError, match=r"a: column 'x' holds list<.*>: expected a column of text"
    ):
        text_values("a", batch, "x")
    with pytest.raises(InputError, match="column 'y' holds binary"):
        text_values("a", batch, "y")
