from __future__ import annotations

import json

from ulmfit.data.check_report import CheckReport, Finding, Overlap, PartReport


def test_a_report_is_plain_data() -> None:
    part = PartReport(
        name="a.csv",
        rows=2,
        text_column="text",
        label_column=None,
        multi_label=False,
        encoding="utf-8",
        labels={},
        unlabelled_rows=0,
        empty_rows=1,
        words={"min": 0, "max": 3},
        chars={"min": 0, "max": 9},
        duplicate_rows=0,
        near_duplicate_rows=0,
        conflicting_texts=0,
    )
    report = CheckReport(part, part, Overlap(1, 0), [Finding("data", "p", "a", [2], ["..."])])
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["data"]["words"] == {"min": 0, "max": 3}
    assert plain["test"] == plain["data"]
    assert plain["overlap"] == {"rows": 1, "other_label": 0}
    assert plain["warnings"] == [
        {
            "part": "data",
            "problem": "p",
            "advice": "a",
            "rows": [2],
            "excerpts": ["..."],
            "refused": False,
        }
    ]
