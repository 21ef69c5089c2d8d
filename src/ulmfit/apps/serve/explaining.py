"""Explanations in a thread of their own: they take the time of many predictions."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from ulmfit.apps.serve.classifier import Explainer, Explanation
from ulmfit.apps.serve.limits import Limits, overloaded


class ExplainQueue:
    """One explanation at a time, a few waiting.

    Args:
        explainer: explains one text; called in one thread of its own.
        limits: how many may wait.
    """

    def __init__(self, explainer: Explainer, limits: Limits) -> None:
        self._explainer, self._limits = explainer, limits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._busy = 0

    async def explain(self, text: str, label: str | None) -> Explanation:
        """The explanation, when its turn has come.

        Raises:
            Refused: 429, too many wait.
        """
        if self._busy >= self._limits.explaining:
            raise overloaded(
                f"{self._busy} explanations wait", f"{self._limits.explaining} at a time", 2.0
            )
        self._busy += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._explainer, text, label)
        finally:
            self._busy -= 1

    def stop(self) -> None:
        """Finish the one that is being computed."""
        self._thread.shutdown(cancel_futures=True)
