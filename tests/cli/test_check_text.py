from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from tests.cli.conftest import write_csv
from ulmfit.cli.check_text import check_text
from ulmfit.data.check import check_dataset


def test_a_report_has_facts_labels_and_warnings_with_excerpts(tmp_path: Path) -> None:
    rows = [("a film that is good", "pos"), ("a film that is bad", "neg")] * 10
    data = write_csv(tmp_path / "a.csv", [*rows, ("", "neg")], ("text", "label"))
    report = check_dataset(data)
    text = check_text(report)
    assert text.startswith(f"{data}: text in 'text', label in 'label', utf-8\n")
    assert re.search(r"^rows +21$", text, re.MULTILINE)
    assert re.search(r"^empty texts +1$", text, re.MULTILINE)
    assert re.search(r"^neg +11  52.4 %$", text, re.MULTILINE)
    (first, *_) = report.warnings
    assert f"! data: {first.problem}. {first.advice}" in " ".join(text.split())
    assert "    row 3: a film that is good\n" in text


def test_two_parts_stand_side_by_side() -> None:
    text = check_text(check_dataset("name:trec6"))
    assert re.search(r"^rows +5,452 +500$", text, re.MULTILINE)
    assert "ABBR      86   1.6 %     9   1.8 %\n" in text
    assert re.search(r"^! test: .*\b11\b", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 80


def test_data_without_faults_and_without_labels(tmp_path: Path) -> None:
    data = tmp_path / "a.txt"
    data.write_text("\n".join(f"a text with number {number}" for number in range(50)) + "\n")
    text = check_text(check_dataset(data))
    assert "no label column found" in text
    assert "label  " not in text
    assert "! data: No column is clearly the label." in text


def test_what_training_stops_at_is_marked(tmp_path: Path) -> None:
    rows = [(f"text number {n} of many", "only") for n in range(30)]
    text = check_text(check_dataset(write_csv(tmp_path / "one.csv", rows, ("text", "label"))))
    assert "1 warning; training stops at it" in text
    assert "X data: All rows have the label 'only'." in text
    rows = [(f"text number {n} of many", "ab"[n % 2]) for n in range(30)]
    rows += [("a text without label", "")] + [("once is enough", "a")] * 2
    text = check_text(check_dataset(write_csv(tmp_path / "gap.csv", rows, ("text", "label"))))
    assert "2 warnings; training stops at 1 of them" in text
    assert "X data: Rows without a label" in text and "! data: Rows with the text" in text


def test_a_long_list_of_labels_is_cut(tmp_path: Path) -> None:
    rows = [(f"text number {n} of many", f"class {n % 30}") for n in range(600)]
    data = write_csv(tmp_path / "a.csv", rows, ("text", "label"))
    text = check_text(check_dataset(data))
    assert "... and 10 more labels; --json has them all" in text
    assert text.endswith("No warnings.")


def test_warnings_about_stdin_have_row_numbers_alone(tmp_path: Path) -> None:
    rows = [("a film that is good", "pos"), ("a film that is bad", "neg")] * 10
    report = check_dataset(write_csv(tmp_path / "a.csv", rows, ("text", "label")))
    bare = replace(report, warnings=[replace(w, excerpts=[]) for w in report.warnings])
    assert "    first rows: 3, 4, 5, 6, 7" in check_text(bare)
