"""A log that remembers, for every test that asks what was said."""

from __future__ import annotations

from typing import Any

from overshootd.contracts import Log


class RememberingLog:
    """The words alone, in order, whatever the level."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def bind(self, **context: Any) -> Log:
        return self

    def debug(self, event: str, **context: Any) -> None:
        self.lines.append(event)

    info = warning = error = debug
