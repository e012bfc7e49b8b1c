"""Which version of the protocol is spoken to a broker, where the configuration leaves that open. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from overshootd.mqtt.reasons import NoAnswer, Unsupported

OTHER = {"5": "3.1.1", "3.1.1": "5"}


@dataclass(slots=True)
class Dialect:
    """`configured` is auto, 5 or 3.1.1.

    A broker that says that it does not speak a version is not asked for that again. One that just closes may be older
    than such an answer, or about to restart: the other version is tried in turns, and 5 first after each connection.
    """

    configured: str
    _first: str = "5"
    _turned: bool = False
    _refused: bool = False

    @property
    def now(self) -> str:
        """For the next connection."""
        if self.configured != "auto":
            return self.configured
        return OTHER[self._first] if self._turned else self._first

    def failed(self, error: Exception) -> bool:
        """There was no connection; whether that is worth a word. The first version that a broker does not speak is not,
        where the other one is tried next."""
        if isinstance(error, Unsupported):
            again, self._refused = self._refused, True
            self._first, self._turned = OTHER[self.now], False
            return again or self.configured != "auto"
        if isinstance(error, NoAnswer):
            self._turned = not self._turned
        return True

    def lost(self) -> None:
        """There was one, and it ended."""
        self._turned = self._refused = False
