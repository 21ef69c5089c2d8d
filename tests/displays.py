"""Displays for tests."""

from __future__ import annotations

from ulmfit.train.tracker import Silent


class Notes(Silent):
    """Keeps the lines that a person would see."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)
