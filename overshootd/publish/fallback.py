"""Which transport `auto` takes now. Pure; the clock comes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

NOT_JOINED, APART_SECONDS = 3, 20.0
"""So many joins failed in a row, so far apart, while keepalives were answered: the API is there, and its rooms are not
for us. A room server that restarts refuses three within a second; a join into a black hole takes 20 s by itself."""

AGAIN_SECONDS = 1800.0
"""How long the legacy transport stands in before the native one is tried again, by a new stream."""

Way = Literal["native", "webrtc"]


class Fallback:
    """Native, until that cannot be joined; then legacy WebRTC for AGAIN_SECONDS. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failed = 0
        self._counted = float("-inf")
        self._since: float | None = None

    @property
    def now(self) -> Way:
        return "native" if self.seconds_left is None else "webrtc"

    @property
    def seconds_left(self) -> float | None:
        """Until the native transport is due again; None while it is in use."""
        if self._since is None:
            return None
        left = self._since + AGAIN_SECONDS - self._clock()
        return left if left > 0 else None

    def joined(self) -> None:
        """The way of now works."""
        self._failed = 0
        if self.seconds_left is None:
            self._since = None

    def not_joined(self) -> bool:
        """It could not be joined, and the API answers. Whether the way is another from now on.

        Where legacy streams do not connect either, native is back after as many failures: neither is a dead end.
        """
        before, now = self.now, self._clock()
        if self._failed and now - self._counted < APART_SECONDS:
            return False
        self._failed, self._counted = self._failed + 1, now
        if self._failed >= NOT_JOINED:
            self._failed = 0
            self._since = now if before == "native" else None
        return self.now != before
