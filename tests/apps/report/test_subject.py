from __future__ import annotations

from ulmfit.apps.report.subject import Subject


def test_what_a_report_is_about(subject: Subject) -> None:
    assert subject.labels == ("glad", "sad")
    assert not subject.multi_label
    assert subject.made.tzinfo is not None
    tested = subject.tested
    assert tested is not None
    assert list(tested.truth[:2]) == ["glad", "sad"]
    assert tested.targets(subject.labels)[:2].tolist() == [[True, False], [False, True]]
