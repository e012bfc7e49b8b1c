"""Whether what we push arrives, decided from what the library counts.

`frames_encoded` and `bytes_sent` keep rising in a black hole (livekit-notes.md, Traps), so the other side's answers
count: STUN responses, and whatever else arrives, on the nominated candidate pair.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

LIMIT = 5.0
"""Seconds. libwebrtc checks a stable pair every 2.5 s, and several times a second once an answer is missing; the SDK
notices a dead path after 10.7 to 14 s (livekit-notes.md). With a fifth of the packets lost either way, all of those
that a second check brings are lost once in some hundred thousand."""

ENCODING_LIMIT = 10.0
"""Seconds. An encoder that was starved takes a while to begin."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Totals at the monotonic time `at` in seconds; `responses` is None while the library gives no stats (it
    reconnects)."""

    at: float
    responses: int | None
    encoded: int
    pushed: int


class Health:
    """Remembers when each counter last moved."""

    def __init__(self, at: float) -> None:
        self._answered = Counters(at, -1, 0, 0)
        self._encoding = Counters(at, -1, -1, 0)

    def broken(self, now: Counters) -> str | None:
        """Why nothing arrives any more, or None while all is well or may still become so."""
        if now.responses is not None and now.responses != self._answered.responses:
            self._answered = now
        if now.responses is not None and (now.encoded != self._encoding.encoded or now.pushed == self._encoding.pushed):
            self._encoding = now
        if now.at - self._answered.at >= LIMIT:
            return f"no answer on the media path for {LIMIT:g} s"
        if now.at - self._encoding.at >= ENCODING_LIMIT:
            return f"{now.pushed - self._encoding.pushed} frames handed over and none encoded for {ENCODING_LIMIT:g} s"
        return None


LOOKS = 2
"""A frame that is late within the library is no loss: what is missing counts when it was missing so often."""

NARROW_SECONDS = 30.0
"""A path that takes less than half for so long is no hiccup."""


class Losses:
    """Finds the access units that the library took and did not send. It leaves them out where a path is congested, and
    says nothing; those that follow refer to them all the same, and whoever decodes them sees a spoiled picture.
    """

    def __init__(self, at: float) -> None:
        """`at`: monotonic seconds, as in `look`."""
        self.total = 0
        self._looks: deque[int] = deque(maxlen=LOOKS)
        """What was taken less what was sent, lately."""
        self._usual: int | None = None
        """The same while nothing is lost: what was offered before the track was published."""
        self._sent = 0
        self._window = (at, 0, 0)

    def look(self, at: float, taken: int, sent: int | None) -> int:
        """How many more were lost. `taken` and `sent` are the library's totals; None while it gives no stats.

        Called when none is on its way to the encoder.
        """
        if sent is None or sent < self._sent:  # it reconnects, and counts anew
            self._looks.clear()
            self._usual, self._sent = None, sent or 0
            self._window = (at, taken, self.total)
            return 0
        self._sent = sent
        self._looks.append(taken - sent)
        if self._usual is None:
            self._usual = taken - sent
        if len(self._looks) < LOOKS:
            return 0
        missing = min(self._looks)
        lost = max(missing - self._usual, 0)
        self._usual = missing
        self.total += lost
        return lost

    def narrow(self, at: float, taken: int) -> str | None:
        """Why the path is too narrow for what it is given, told when it was so for NARROW_SECONDS."""
        began, before, lost = self._window
        if at - began < NARROW_SECONDS:
            return None
        self._window = (at, taken, self.total)
        taken, lost = taken - before, self.total - lost
        if lost <= taken / 2:
            return None
        return f"{lost} of {taken} access units were not sent within {NARROW_SECONDS:g} s: the path takes less"
