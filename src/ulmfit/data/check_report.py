"""The plain data of a check: what is printed as a table, or as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class PartReport:
    """What one file or split holds.

    Attributes:
        name: the file as the user called it.
        rows: number of rows.
        text_column: where the text is.
        label_column: where the label is; None if there is none.
        multi_label: whether a row can have several labels.
        encoding: the codec of a text file; None where the format settles it.
        labels: rows per class, the most frequent first.
        unlabelled_rows: rows without a label, where there is a label column.
        empty_rows: rows whose text is empty or blank.
        words: min, quantiles, max, mean and total of the white-space separated words of a text.
        chars: the same of its characters.
        duplicate_rows: rows whose text is exactly that of an earlier row.
        near_duplicate_rows: further rows that differ from an earlier one only in case, spaces and
            punctuation.
        conflicting_texts: texts (letters and digits) that occur under different labels.
    """

    name: str
    rows: int
    text_column: str
    label_column: str | None
    multi_label: bool
    encoding: str | None
    labels: dict[str, int]
    unlabelled_rows: int
    empty_rows: int
    words: dict[str, float]
    chars: dict[str, float]
    duplicate_rows: int
    near_duplicate_rows: int
    conflicting_texts: int


@dataclass(frozen=True)
class Overlap:
    """Test rows that are in the training data too, by letters and digits in lower case.

    Attributes:
        rows: test rows whose text is among the training texts.
        other_label: those of them with a label that no training row of the same text has.
    """

    rows: int
    other_label: int


@dataclass(frozen=True)
class Finding:
    """One warning.

    Attributes:
        part: "data" or "test": whose rows are meant.
        problem: what was found, with its count.
        advice: what can be done about it.
        rows: the first rows it concerns, from 1 (the header is not counted).
        excerpts: the beginnings of their texts, as many; none for stdin.
        refused: whether training stops at it.
    """

    part: str
    problem: str
    advice: str
    rows: list[int] = field(default_factory=list)
    excerpts: list[str] = field(default_factory=list)
    refused: bool = False


@dataclass(frozen=True)
class CheckReport:
    """The whole report; ``warnings`` is empty for a data set without faults."""

    data: PartReport
    test: PartReport | None
    overlap: Overlap | None
    warnings: list[Finding]

    def to_dict(self) -> dict[str, object]:
        """Plain data, ready for JSON."""
        return asdict(self)
