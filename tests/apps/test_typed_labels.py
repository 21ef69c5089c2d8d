from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ulmfit.apps.typed_labels import (
    LabelCodec,
    column_names,
    known_columns,
    label_form,
    labelled,
    readable_labels,
    repeatable,
    require_place_for_none,
    without,
)
from ulmfit.errors import InputError, SettingsError
from ulmfit.stages.folder_config import LabelForm

PROBABILITIES = np.array([[0.1, 0.7, 0.2], [0.6, 0.1, 0.3]], dtype=np.float32)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["a", "b"], "string"),
        (np.array(["a", "b"]), "string"),
        (np.array(["a", "b"], dtype=object), "string"),
        (pd.Series(["a", "b"], dtype="category"), "string"),
        (pd.Series(["a", "b"], dtype="string"), "string"),
        (pa.array(["a", "b"]), "string"),
        ([1, 2], "integer"),
        (np.array([1, 2], dtype=np.int8), "integer"),
        ([np.int64(1), np.uint8(2)], "integer"),
        (pd.Series([1, 2], dtype="Int64"), "integer"),
        (pa.chunked_array([[1], [2]]), "integer"),
        (np.array([[1], [2]]), "integer"),
        ([1.0, 2.0], "number"),
        ([1, 2.0], "number"),
        (np.array([1, 2], dtype=np.float32), "number"),
        ([True, False], "boolean"),
        (np.array([True, False]), "boolean"),
        (pd.Series([True, False], dtype="boolean"), "boolean"),
        ([["a"], ["a", "b"]], "string"),
        ([(1,), ()], "integer"),
        ([{True}, {False}], "boolean"),
        ([[], []], "string"),
        ([], "string"),
    ],
)
def test_type_of_the_class_names(labels: Any, kind: str) -> None:
    assert label_form(labels) == LabelForm.model_validate({"kind": kind})


@pytest.mark.parametrize("kind", ["int64", "float32", "bool", "uint8"])
def test_matrix_of_zeros_and_ones(kind: str) -> None:
    matrix = np.array([[0, 1, 0], [1, 1, 0]]).astype(np.dtype(kind))
    assert label_form(matrix) == LabelForm(kind="integer", columns=3)


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["a", 1], "'a' (string) and 1 (integer)"),
        ([True, 1], "True (boolean) and 1 (integer)"),
        ([["a"], [1.0]], "'a' (string) and 1.0 (number)"),
    ],
)
def test_labels_of_several_types_are_refused(labels: Any, shown: str) -> None:
    with pytest.raises(InputError) as caught:
        label_form(labels)
    assert str(caught.value) == (
        f"the labels are of several types: {shown}: expected labels of one type. "
        "Turn them all into strings: [str(label) for label in labels]."
    )


@pytest.mark.parametrize("value", [4.5, float("inf"), np.float32(0.25)])
def test_measurements_are_no_classes(value: float) -> None:
    with pytest.raises(InputError, match="Unknown label type: continuous, such as"):
        label_form([1.0, value])


def test_rows_of_zeros_and_ones_in_lists_are_a_matrix() -> None:
    for rows in ([[0, 1, 0], [1, 1, 0]], [np.array([0, 1, 0]), np.array([1, 1, 0])]):
        assert np.array_equal(readable_labels(rows), np.array([[0, 1, 0], [1, 1, 0]]))
    # Labels would be the same two for every text; whatever rows are among them, it is a matrix.
    for pairs in ([[0, 1], [1, 0]], [[0, 1], [1, 1], [0, 0]]):
        assert np.array_equal(readable_labels(pairs), np.array(pairs))


def test_a_table_is_a_matrix() -> None:
    table = pd.DataFrame({"billing": [0, 1], "urgent": [1, 1]}, index=[7, 7])
    assert np.array_equal(readable_labels(table), np.array([[0, 1], [1, 1]]))
    assert readable_labels(table[["urgent"]]).shape == (2, 1)
    assert label_form(readable_labels(table)).columns == 2


def test_columns_of_a_table_have_names() -> None:
    table = pd.DataFrame({"urgent": [0, 1], "billing": [1, 1]})
    assert column_names(table) == ("urgent", "billing")
    assert column_names(pa.table({"urgent": [0, 1], "billing": [1, 1]})) == ("urgent", "billing")
    for nameless in (table.to_numpy(), table[["urgent"]], table["urgent"], ["a", "b"]):
        assert column_names(nameless) is None
    assert column_names(pd.DataFrame([[0, 1]])) is None, "pandas made these names up"
    with pytest.raises(InputError, match="two columns of the labels are called 'a'"):
        column_names(pd.DataFrame([[0, 1]], columns=["a", "a"]))


def test_columns_that_a_model_knows() -> None:
    form = LabelForm(columns=("urgent", "billing"))
    table = pd.DataFrame({"billing": [0, 1], "urgent": [1, 1]})
    assert known_columns(table, form) == ("billing", "urgent"), "in the table's order"
    assert known_columns(table.to_numpy(), form) == ("urgent", "billing")
    assert known_columns(table, LabelForm(kind="integer", columns=2)) == ("0", "1"), "by position"
    assert known_columns(table, LabelForm()) == ("billing", "urgent")
    assert known_columns(["a", "b"], LabelForm()) is None
    with pytest.raises(InputError, match=r"'billing', 'late': expected those that `fit` was given"):
        known_columns(table.rename(columns={"urgent": "late"}), form)


def test_names_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="label of row 1 is missing"):
        labelled(["x", "y"], np.array([[1, 0], [0, 1]]), ("urgent", " "))


def test_a_matrix_may_have_thousands_of_columns() -> None:
    names = [str(column) for column in range(20_000)]
    form = LabelForm(kind="integer", columns=len(names))
    form.check(names)
    assert LabelCodec(names, form, multi_label=True).classes[-1] == 19_999


def test_rows_of_a_matrix_by_the_names_of_its_columns() -> None:
    matrix = np.array([[0, 1], [1, 1], [0, 0]])
    found = labelled(["x", "y", "z"], matrix, ("urgent", "billing"))
    assert found.labels == [("billing",), ("billing", "urgent"), ()]
    assert labelled(["x", "y", "z"], matrix, None).labels == [("1",), ("0", "1"), ()]
    assert labelled(["x"], [["urgent"]], ("urgent", "billing")).labels == [("urgent",)]
    with pytest.raises(InputError, match=r"has 2 columns: expected 3: 'a', 'b', 'c'"):
        labelled(["x", "y", "z"], matrix, ("a", "b", "c"))


def test_answers_in_the_columns_of_a_table() -> None:
    form = LabelForm(columns=("urgent", "never", "billing"))
    codec = LabelCodec(["billing", "urgent"], form, multi_label=True)
    assert codec.classes.tolist() == ["urgent", "never", "billing"]
    arranged = codec.arrange(np.array([[0.9, 0.2]], dtype=np.float32))
    assert np.allclose(arranged, [[0.2, 0.0, 0.9]])
    assert np.array_equal(codec.decide(arranged, 0.5), [[0, 0, 1]])
    assert codec.name_of("billing") == "billing"


@pytest.mark.parametrize(
    "rows",
    [
        [[0], [1]],  # one label each
        [[0, 1, 0], [1]],
        [[0, 1, 2], [2, 1, 0]],
        [["a", "a", "b"]],
        ["a", "b"],
        [],
    ],
)
def test_rows_of_labels_are_no_matrix(rows: list[Any]) -> None:
    assert readable_labels(rows) is rows


def test_columns_can_be_read_twice() -> None:
    class Wrapped:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.array(["a", "b"], dtype=dtype)

    assert repeatable(label for label in "ab") == ["a", "b"]
    assert repeatable(Wrapped()).tolist() == ["a", "b"]
    kept = ["a", "b"]
    assert repeatable(kept) is kept
    assert repeatable(7) == 7, "others say what is wrong with it"


@pytest.mark.parametrize(
    ("names", "kind", "classes"),
    [
        (("2", "9", "10"), "integer", [2, 9, 10]),
        (("2", "9", "10"), "string", ["10", "2", "9"]),
        (("-1", "0", "3"), "number", [-1.0, 0.0, 3.0]),
    ],
)
def test_classes_are_in_the_order_of_numpy(
    names: tuple[str, ...], kind: Any, classes: list[Any]
) -> None:
    codec = LabelCodec(names, LabelForm(kind=kind), multi_label=False)
    assert codec.classes.tolist() == classes == np.unique(classes).tolist()
    by_name = dict(zip(names, PROBABILITIES[0].tolist(), strict=True))
    form = LabelForm(kind=kind)
    typed = {form.typed(name): value for name, value in by_name.items()}
    arranged = codec.arrange(PROBABILITIES)
    assert arranged[0].tolist() == [typed[label] for label in classes]
    decided = codec.decide(arranged, 0.5)
    assert list(decided) == [form.typed("9" if "9" in names else "0"), form.typed(names[0])]
    assert isinstance(decided, np.ndarray)
    assert decided.dtype == codec.classes.dtype


def test_truth_values() -> None:
    codec = LabelCodec(("False", "True"), LabelForm(kind="boolean"), multi_label=False)
    assert codec.classes.dtype == bool
    decided = codec.decide(np.array([[0.2, 0.8]], dtype=np.float32), 0.5)
    assert list(decided) == [np.True_]


def test_sets_of_labels_are_tuples_in_the_order_of_the_classes() -> None:
    codec = LabelCodec(("2", "10", "9"), LabelForm(kind="integer"), multi_label=True)
    arranged = codec.arrange(np.array([[0.9, 0.8, 0.1], [0.1, 0.2, 0.5]], dtype=np.float32))
    assert codec.decide(arranged, 0.5) == [(2, 10), ()]


def test_matrix_keeps_columns_that_never_held() -> None:
    codec = LabelCodec(("0", "3"), LabelForm(kind="integer", columns=5), multi_label=True)
    assert codec.classes.tolist() == [0, 1, 2, 3, 4]
    arranged = codec.arrange(np.array([[0.9, 0.75]], dtype=np.float32))
    np.testing.assert_array_equal(arranged, np.array([[0.9, 0, 0, 0.75, 0]], dtype=np.float32))
    decided = codec.decide(arranged, 0.8)
    assert np.asarray(decided).tolist() == [[1, 0, 0, 0, 0]]


def test_no_rows() -> None:
    codec = LabelCodec(("a", "b"), LabelForm(), multi_label=False)
    assert len(codec.decide(codec.arrange(np.zeros((0, 2), np.float32)), 0.5)) == 0


def test_labels_left_out() -> None:
    found = without(np.array([3, 1]), [True, False])
    assert found.tolist() == [None, 1]
    assert without([("a", "b"), ()], [False, True]).tolist() == [("a", "b"), None]
    require_place_for_none(LabelForm())
    with pytest.raises(SettingsError) as caught:
        require_place_for_none(LabelForm(kind="integer", columns=2))
    assert str(caught.value) == (
        "min_confidence cannot be used with labels in a matrix of 0 and 1: expected labels as a "
        "list per row. Use `predict_proba` and a threshold of your own."
    )


def test_names_of_classes() -> None:
    codec = LabelCodec(["1", "10"], LabelForm(kind="integer"), multi_label=False)
    assert codec.name_of(10) == "10"
    assert codec.name_of("odd") == "odd"
