"""Whether what we push arrives, decided from what the library counts.

`frames_encoded` and `bytes_sent` keep rising in a black hole (livekit-notes.md, Traps), so the other side's answers
count: STUN responses on the nominated candidate pair.
"""

from __future__ import annotations

from dataclasses import dataclass

LIMIT = 20.0
"""Seconds. libwebrtc checks a stable pair every 2.5 s, and the SDK notices a dead path after 10.7 to 14 s
(livekit-notes.md):
longer than that, and only the daemon is left to act."""


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
        if now.at - self._encoding.at >= LIMIT:
            return f"{now.pushed - self._encoding.pushed} frames handed over and none encoded for {LIMIT:g} s"
        return None
