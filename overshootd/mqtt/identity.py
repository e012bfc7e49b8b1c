"""By which id we are known at a broker, and what to do when somebody else is known by it too. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

SOON_SECONDS = 60.0
"""A connection that was lost so soon after it was made, without a word, may have been taken: MQTT 3.1.1 has no word."""

TAKEN, SUSPICIOUS = 2, 4
"""Times in a row after which the id is taken for somebody else's: with a word of the broker's, and without."""


@dataclass(slots=True)
class Identity:
    """`wanted` is the id that is tried first, and shown."""

    wanted: str
    _suffix: str = ""
    _began: float = field(default=float("-inf"))
    _taken: int = 0
    _short: int = 0
    _random: str = ""

    @property
    def now(self) -> str:
        """The id in use."""
        return self.wanted + self._suffix

    def begin(self, now: float, random: str) -> str:
        """For a connection that is made now (monotonic seconds); `random` is what would tell us apart."""
        self._began, self._random = now, random
        return self.now

    def lost(self, *, taken: bool, silently: bool, now: float) -> str:
        """A connection ended: the broker says that another client has the id, or closed it `silently` where it has no
        words for that. What there is to tell of it."""
        soon = now - self._began < SOON_SECONDS
        self._taken = (self._taken if soon else 0) + 1 if taken else 0
        self._short = self._short + 1 if soon and silently else 0
        if self._suffix or (self._taken < TAKEN and self._short < SUSPICIOUS):
            return f"another client uses the id {self.now} there" if taken else ""
        self._suffix = f"-{self._random}"
        sure = "uses" if taken else "may use"
        return (
            f"another client {sure} the id {self.wanted} there; going on as {self.now}: "
            "give each device a name, or each broker entry a client_id, of its own"
        )
