"""Hand-over from a camera's thread to the event loop: the latest picture, or a short run of access units.

Neither grows: a newer picture replaces the one not yet taken, and access units that nobody takes are dropped up to the
next keyframe, because one missing spoils all that follow.
"""

from __future__ import annotations

from collections import deque

from overshootd.contracts import AccessUnit, Media, Picture

ACCESS_UNIT_LIMIT = 30
"""One second of a 30 fps camera: what a stalled loop may be late without a visible jump."""


class Handoff:
    """What waits between a camera and one stream. Pure; the owner serialises the calls.

    `limit` access units wait at most; of keyframes alone, 1 keeps the newest.
    """

    def __init__(self, limit: int = ACCESS_UNIT_LIMIT) -> None:
        self._units: deque[AccessUnit] = deque()
        self._picture: Picture | None = None
        self._limit = limit
        self._missed = 0
        """Access units since a keyframe was first needed and did not come."""
        self._broken = True
        self.dropped = 0

    def fresh(self) -> Handoff:
        """An empty one of the same kind."""
        return Handoff(self._limit)

    def put(self, media: Media) -> bool:
        """Add it. True when the encoder should be asked for a keyframe: at once, and again for each `limit` in vain."""
        if isinstance(media, AccessUnit):
            return self._put_unit(media)
        self.dropped += self._picture is not None
        self._picture = media
        return False

    def take(self) -> Media | None:
        """What is next, or None."""
        if self._units:
            return self._units.popleft()
        picture, self._picture = self._picture, None
        return picture

    def _put_unit(self, unit: AccessUnit) -> bool:
        if len(self._units) >= self._limit:
            self.dropped += len(self._units)
            self._units.clear()
            self._broken, self._missed = True, 0
        if unit.keyframe:
            self._broken = False
        if not self._broken:
            self._units.append(unit)
            return False
        self.dropped += 1
        self._missed += 1
        return self._missed % self._limit == 1 % self._limit
