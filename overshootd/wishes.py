"""Which of a receiver's wishes an encoder is told. Pure.

The transport speaks at every frame; an encoder that is told as often does little else: some begin anew at each change
of their rate, and a keyframe takes the bits of twenty other frames.
"""

from __future__ import annotations

from overshootd.contracts import Wish

KEYFRAME_SECONDS = 1.0
"""Between two keyframes asked for. What the first is to mend takes as long to arrive, and receivers ask meanwhile."""

LOWER_SECONDS, RAISE_SECONDS = 1.0, 5.0
"""Between two changes of the rate. Less must be soon, for what is too much waits in a queue; more can wait."""

CHANGE = 0.2
"""A rate that differs by a smaller share from what was told is the same."""


class Wishes:
    """Remembers what one encoder was told. The rate is never above `max_kbps`, whatever the path would take."""

    def __init__(self, max_kbps: int) -> None:
        self._max_kbps = max_kbps
        self._keyframe = False
        self._kbps: int | None = None
        """What is wished now."""
        self._told_kbps: int | None = None
        self._keyframe_at = self._kbps_at = float("-inf")

    def told(self, wish: Wish, now: float) -> Wish:
        """What to tell the encoder at `now` (monotonic seconds), with this wish just heard. An empty one: nothing."""
        self._keyframe = self._keyframe or wish.keyframe
        if wish.kbps is not None:
            self._kbps = min(wish.kbps, self._max_kbps)
        return Wish(self._take_keyframe(now), self._take_kbps(now))

    def _take_keyframe(self, now: float) -> bool:
        if not self._keyframe or now - self._keyframe_at < KEYFRAME_SECONDS:
            return False
        self._keyframe, self._keyframe_at = False, now
        return True

    def _take_kbps(self, now: float) -> int | None:
        wished, told = self._kbps, self._told_kbps
        if wished is None or (told is not None and not self._differs(wished, told, now)):
            return None
        self._told_kbps, self._kbps_at = wished, now
        return wished

    def _differs(self, wished: int, told: int, now: float) -> bool:
        if wished != self._max_kbps and abs(wished - told) < CHANGE * told:
            return False
        return wished != told and now - self._kbps_at >= (LOWER_SECONDS if wished < told else RAISE_SECONDS)
