from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit.data.census import Census, count_words, fingerprints, quantiles, take_census
from ulmfit.data.labels import LabelReader
from ulmfit.data.streams import open_rows


def census_of(*rows: tuple[str, str | tuple[str, ...] | None]) -> Census:
    census = Census()
    for text, label in rows:
        census.add(text, label)
    return census


def near(text: str) -> int:
    return fingerprints(text)[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A fine film!", "a  FINE, film"),
        ("Straße", "STRASSE"),
        ("더러븐 영화", "더러븐영화."),
        ("50% off", "50 off"),
        (unicodedata.normalize("NFD", "Größe"), "größe"),
        ("wow \U0001f600", "Wow"),
    ],
)
def test_near_duplicates_have_the_same_letters_and_digits(one: str, other: str) -> None:
    assert near(one) == near(other)
    assert fingerprints(one)[0] != fingerprints(other)[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [("a fine film", "a fine films"), ("कि", "की"), ("!!!", "???"), ("1 2", "1 3")],
)
def test_other_texts_are_not_near(one: str, other: str) -> None:
    assert near(one) != near(other)


def test_a_long_text_is_looked_at_in_parts() -> None:
    text = "Ab c, d\xe9! " * 300_000
    assert near(text) == near("abcd\xe9" * 300_000)
    assert count_words(text) == 900_000
    assert count_words("x" * 5_000_000 + " y") == 2


@settings(deadline=None)
@given(st.text(max_size=40))
def test_words_are_those_that_python_splits(text: str) -> None:
    assert count_words(text) == len(text.split())
    fingerprints(text)  # half surrogate pairs too


def test_repeats_leave_the_first_of_each_and_blank_texts_out() -> None:
    census = census_of(("a b", None), ("", None), ("a b", None), (" ", None), ("A, b", None))
    assert census.repeats(census.exact).tolist() == [2]
    assert census.repeats(census.near).tolist() == [2, 4]
    assert census.blank().tolist() == [1, 3]


def test_conflicts_are_texts_under_different_labels() -> None:
    census = census_of(
        ("z", "x"),
        ("a", "x"),
        ("A!", "y"),
        ("b", "x"),
        ("b", "x"),
        ("z", "y"),
        ("b", None),
        ("", "y"),
    )
    assert [rows.tolist() for rows in census.conflicts()] == [[0, 5], [1, 2]]
    assert census.unlabelled().tolist() == [6]
    assert census_of().conflicts() == []


def test_labels_are_counted_one_by_one() -> None:
    census = census_of(("a", ("x", "y")), ("b", ("x",)), ("c", ()), ("d", None))
    assert census.label_counts == {"x": 2, "y": 1}
    assert census.unlabelled().tolist() == [3]


def test_traces_of_a_wrong_decoding() -> None:
    damaged = [
        "caf\xc3\xa9 au lait",
        "it\xe2\u20ac\u2122s",
        "co\xc2\xa3t",
        "a \ufffd b",
    ]
    fine = ["café", "it's", "ÂME", "Ã", "naïve £5"]
    census = census_of(*((text, None) for text in [*damaged, *fine]))
    assert census.mis_read == [0, 1, 2]
    assert census.replaced == [3]


def test_a_real_wrong_decoding_is_found() -> None:
    words = ["café", "Größe", "it’s “fine”", "naïve", "señor"]
    wrong = [word.encode().decode("cp1252", "replace") for word in words]
    assert census_of(*((text, None) for text in wrong)).mis_read == list(range(len(words)))


def test_quantiles_are_values_that_occur() -> None:
    assert quantiles(array("L", range(1, 101))) == {
        "min": 1,
        "p5": 5,
        "p25": 25,
        "median": 50,
        "p75": 75,
        "p95": 95,
        "p99": 99,
        "max": 100,
        "mean": 50.5,
        "total": 5050,
    }
    assert quantiles(array("L", [7])) == dict.fromkeys(quantiles(array("L", [1])), 7)


def rows_of(path: Path) -> Census:
    with open_rows(path) as rows:
        labels: Sequence[str] = [name for name in rows.schema.names if name == "label"]
        reader = LabelReader(rows.name, rows.schema, tuple(labels)) if labels else None
        return take_census(rows, reader)


def test_a_census_of_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\none two,x\nthree,y\nfour,\n")
    census = rows_of(path)
    assert (list(census.words), list(census.chars), census.rows) == ([2, 1, 1], [7, 5, 4], 3)
    assert census.label_counts == {"x": 1, "y": 1}
    path.write_text("text\none two\n")
    assert rows_of(path).label_counts == {}
