"""State changes are logged, not retries: one line when something fails, one when it works again."""

from __future__ import annotations

from collections.abc import Callable

from overshootd.contracts import Log


class Condition:
    """Whether one thing works. `clock` gives seconds, monotonic."""

    def __init__(self, log: Log, what: str, clock: Callable[[], float]) -> None:
        self._log = log
        self._what = what
        self._clock = clock
        self._since: float | None = None
        self._why = ""

    def bad(self, why: str) -> None:
        """It failed. Logged when it worked before, or failed for another reason."""
        if self._since is None:
            self._since = self._clock()
        elif why == self._why:
            return
        self._why = why
        self._log.warning(f"{self._what}: {why}")

    def good(self) -> None:
        """It works. Logged, with how long it took, when it did not before."""
        if self._since is None:
            return
        self._log.info(f"{self._what} works again", after_seconds=round(self._clock() - self._since, 1))
        self._since = None
