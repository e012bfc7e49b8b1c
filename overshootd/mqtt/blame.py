"""Which message it is at which a broker closes the connection: that is all that some do about one that they do not
take, and those that say that one was too large do not say which. Pure."""

from __future__ import annotations


class Blame:
    """Of messages that were under way by themselves, each in the lane of its stream.

    Several streams may each have one under way when a connection ends. It is the one that was so at the end of the
    connection before, too.
    """

    def __init__(self) -> None:
        self._ended: object = None  # the connection that did last
        self._then: set[bytes] = set()
        self._before: set[bytes] = set()

    def at_end(self, connection: object, payload: bytes) -> bool:
        """It was under way by itself when that connection ended; whether it is to blame."""
        if connection is not self._ended:
            self._ended, self._before, self._then = connection, self._then, set()
        self._then.add(payload)
        return payload in self._before
