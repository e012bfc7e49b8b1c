"""State changes are logged, not retries: one line when something fails, one when it works again."""

from __future__ import annotations

from collections.abc import Callable

from overshootd.contracts import Log

REASONS = 10
"""Told at most for one failure. Messages with an address or a number in them would never end."""


class Condition:
    """Whether one thing works. `clock` gives seconds, monotonic."""

    def __init__(self, log: Log, what: str, clock: Callable[[], float]) -> None:
        self._log = log
        self._what = what
        self._clock = clock
        self._since: float | None = None
        self._told: set[str] = set()

    def bad(self, why: str, **context: object) -> None:
        """It failed. Logged when it worked before, or for a reason not told since: two that alternate are two lines."""
        if self._since is None:
            self._since = self._clock()
        if why not in self._told and len(self._told) < REASONS:
            self._told.add(why)
            self._log.warning(f"{self._what}: {why}", **context)

    def good(self) -> None:
        """It works. Logged, with how long it took, when it did not before."""
        if self._since is None:
            return
        self._log.info(f"{self._what} works again", after_seconds=round(self._clock() - self._since, 1))
        self._since = None
        self._told.clear()
