"""How a worker answers: one JSON object a line in, one out. Standard library only.

A worker loads its side once and stays warm. What it prints itself goes to standard error, so that
nothing but answers comes out of the pipe.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

Job = Callable[..., dict[str, Any]]


def serve(jobs: Mapping[str, Job]) -> None:
    """Answer requests `{"job": name, "arguments": {...}}` until standard input ends.

    An answer is what the job returned, or `{"error": text}`.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print do not print into the answers
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = jobs[request["job"]](**request["arguments"])
        except Exception as error:  # reported to the one who asked, who stops the run
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
