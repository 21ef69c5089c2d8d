from __future__ import annotations

from dataclasses import replace

import pytest

from ulmfit.data.census import Census, quantiles
from ulmfit.data.check_report import Finding, PartReport
from ulmfit.data.findings import count_overlap, overlap_findings, part_findings, shared_rows

Row = tuple[str, str | None]
FINE: list[Row] = [(f"a fine film of number {n}", "ab"[n % 2]) for n in range(40)]


def looked_over(*rows: Row) -> tuple[Census, PartReport]:
    census = Census()
    for text, label in rows:
        census.add(text, label)
    exact = len(census.repeats(census.exact))
    report = PartReport(
        name="a.csv",
        rows=census.rows,
        text_column="text",
        label_column="label",
        multi_label=False,
        encoding=None,
        labels=dict(census.label_counts),
        unlabelled_rows=len(census.unlabelled()),
        empty_rows=len(census.blank()),
        words=quantiles(census.words),
        chars=quantiles(census.chars),
        duplicate_rows=exact,
        near_duplicate_rows=len(census.repeats(census.near)) - exact,
        conflicting_texts=len(census.conflicts()),
    )
    return census, report


def found(*rows: Row, part: str = "data") -> list[Finding]:
    return list(part_findings(*looked_over(*rows), part))


def only(*rows: Row) -> Finding:
    findings = found(*rows)
    assert len(findings) == 1, findings
    return findings[0]


def test_nothing_to_say() -> None:
    assert found(*FINE) == []


def test_a_label_for_every_row() -> None:
    finding = only(*[(f"a fine film of number {n}", f"id{n}") for n in range(20)])
    assert finding.refused and finding.problem == "Different labels: 20 in 20 rows"
    few = found(*[(f"a fine film of number {n}", f"id{n}") for n in range(19)])
    assert not any(finding.refused for finding in few)


def test_wrongly_decoded_texts() -> None:
    finding = only(*FINE, ("the caf\xc3\xa9 by the sea", "a"))
    assert finding.problem == (
        "Texts that look like UTF-8 read as Windows-1252 ('\xc3\xa9'): 1 of 41"
    )
    assert finding.rows == [41]


def test_lost_characters() -> None:
    finding = only(("the caf\ufffd by the sea", "a"), *FINE)
    assert "Texts with lost characters (U+FFFD): 1 of 41" in finding.problem
    assert finding.rows == [1]


def test_very_long_documents() -> None:
    finding = only(*FINE, ("word " * 10_001, "a"))
    assert finding.problem == "Texts of more than 10,000 words: 1 of 41, the longest 10,001"
    assert "memory is safe" in finding.advice


def test_texts_that_are_no_sentences() -> None:
    finding = only(*((f"id {n}", "ab"[n % 2]) for n in range(40)))
    assert finding.problem == "Half of the texts have 2 words or fewer"
    assert "Is 'text' the text?" in finding.advice


def test_labels_that_differ_in_case_or_spaces() -> None:
    extra: list[Row] = [(f"some other film with number {n}", " A ") for n in range(10)]
    finding = only(*FINE, *extra)
    assert finding.problem == "Labels that differ only in case or spaces: 'a' (20), ' A ' (10)"


@pytest.mark.parametrize("name", ["nan", "None", "N/A", "?"])
def test_labels_that_look_like_missing_values(name: str) -> None:
    extra: list[Row] = [(f"some other film with number {n}", name) for n in range(10)]
    finding = only(*FINE, *extra)
    assert finding.problem == f"A label that looks like a missing value: {name!r} (10)"


def test_one_class() -> None:
    finding = only(*((text, "a") for text, _ in FINE))
    assert finding.problem == "All rows have the label 'a'"
    assert found(*((text, "a") for text, _ in FINE), part="test") == []


def test_rare_classes_and_imbalance() -> None:
    rare, imbalance = found(*FINE, ("one of its own kind", "c"))
    assert rare.problem == "Classes with fewer than 10 rows: 'c' (1)"
    assert imbalance.problem == ("The classes are far from equally frequent: 'a' (20), 'c' (1)")
    assert "macro F1" in imbalance.advice


@pytest.mark.parametrize(
    ("prefix", "advice"),
    [("", "They look like numbers to estimate"), ("id-", "Is 'label' the label?")],
)
def test_too_many_classes(prefix: str, advice: str) -> None:
    finding = only(*((f"a fine film of number {n}", f"{prefix}{n % 101}") for n in range(102)))
    assert finding.problem == "Different labels: 101 in 102 rows" and not finding.refused
    assert advice in finding.advice


def test_only_the_first_names_are_shown() -> None:
    extra: list[Row] = [(f"some other film with number {n}", f"c{n}") for n in range(8)]
    rare = found(*FINE, *extra)[0]
    assert rare.problem.endswith("'c3' (1), 'c4' (1) and 3 more")


def test_without_labels_only_the_texts_are_judged() -> None:
    census, report = looked_over(*((text, None) for text, _ in FINE))
    findings = list(part_findings(census, replace(report, label_column=None), "data"))
    assert [finding.problem for finding in findings] == ["No column is clearly the label"]


def test_only_the_first_rows_are_shown() -> None:
    finding = only(*FINE, *FINE)
    assert finding.rows == [41, 42, 43, 44, 45]


def test_overlap_by_letters_and_digits() -> None:
    data, data_report = looked_over(("One, two", "a"), ("three", "b"), ("", "a"), ("four", None))
    test, test_report = looked_over(
        ("one two!", "b"), ("THREE", "b"), ("", "a"), ("five", "a"), ("four", "a"), ("three", None)
    )
    assert shared_rows(data, test) == [0, 1, 4, 5]
    overlap = count_overlap(data, test)
    assert (overlap.rows, overlap.other_label) == (4, 1)
    findings = overlap_findings(data, test, (data_report, test_report), overlap)
    assert [finding.problem for finding in findings] == [
        "Test texts that are in the training data too: 4 of 6, 1 under another label"
    ]


def test_nothing_in_common() -> None:
    data, test = looked_over(*FINE), looked_over(("something else of the kind", "a"), ("x", "b"))
    overlap = count_overlap(data[0], test[0])
    assert (overlap.rows, overlap.other_label) == (0, 0)
    assert list(overlap_findings(data[0], test[0], (data[1], test[1]), overlap)) == []


def test_what_training_refuses() -> None:
    blank = found(("", "a"), (" ", "b"))[0]
    assert blank.problem == "Empty or blank texts: 2 of 2" and blank.refused
    assert not found(("", "a"), *FINE)[0].refused
    census, report = looked_over(*((text, None) for text, _ in FINE))
    several = part_findings(census, replace(report, multi_label=True, unlabelled_rows=0), "data")
    assert [(each.problem, each.refused) for each in several] == [
        ("No row has any label in column 'label'", True)
    ]
    data, test = looked_over(*FINE), looked_over(("something of its own", "c"))
    overlap = count_overlap(data[0], test[0])
    unknown = next(iter(overlap_findings(data[0], test[0], (data[1], test[1]), overlap)))
    assert "that the training data lack: 'c' (1)" in unknown.problem and unknown.refused


def test_labels_that_look_like_several_in_one() -> None:
    rows = [*FINE, *((f"a film of both, number {n}", "a;b") for n in range(20))]
    finding = only(*rows)
    assert finding.problem == "Labels that look like several in one: 'a;b' (20)"
    assert finding.advice == ('If a row can have several labels, or none: `--label-separator ";"`.')
    census, report = looked_over(*rows)
    assert list(part_findings(census, replace(report, multi_label=True), "data")) == []


def test_rows_with_neither_text_nor_label_do_not_stop_training() -> None:
    finding = only(*FINE, ("", None), (" ", None))
    assert (finding.problem, finding.refused) == ("Empty or blank texts: 2 of 42", False)
    _, unlabelled = found(*FINE, ("", None), ("a film", None))
    assert unlabelled.problem == "Rows without a label in column 'label': 1 of 42"
    assert unlabelled.rows == [42] and unlabelled.refused
