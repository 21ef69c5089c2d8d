from __future__ import annotations

import re
from pathlib import Path

from ulmfit.cli.app import ORDER
from ulmfit.cli.reports import steps


def test_the_next_steps_are_verbs_that_there_are() -> None:
    found = steps(Path("my model"))
    assert len(found) >= 3
    for step in found:
        (verb,) = re.findall(r"ulmfit ([a-z-]+) ", f"{step.command} ")[:1]
        assert verb in ORDER
        assert "'my model'" in step.command
