"""How many publications of a backlog may be under way: as many as leave a live one its place on the link. Pure.

As TCP Vegas and LEDBAT (RFC 6817) do, it goes by how long acknowledgements take: what waits in the buffers between us
and the broker delays everybody, and is seen in nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

LATE_SECONDS = 0.3
"""An acknowledgement that takes so much longer than the quickest has waited behind our own. A live result then waits as
long, and travels once more: it has a second for both."""

SOON_SECONDS = LATE_SECONDS / 4

ALONE = 16
"""So many in a row, each under way by itself, tell how long the link takes now: it may have become another one."""

LONGEST_BASE = 2.0
"""No link is so slow by itself. What takes longer waits behind others, and the backlog is not to join them."""


@dataclass(frozen=True, slots=True)
class Window:
    """`size` publications at a time, from 1 to `most`. Times are in seconds."""

    most: int
    size: float = 1.0
    quickest: float = LONGEST_BASE
    _known: float = float("inf")  # the size from which on it feels its way: doubling overshoots by a round trip
    _alone: tuple[float, ...] = ()

    def acknowledged(self, seconds: float) -> Window:
        """After one that took so long: doubled in a round trip until one is late, then one more in each; a quarter less
        in one when they are late."""
        quickest, known = min(self.quickest, seconds), self._known
        late = seconds - quickest
        if late > LATE_SECONDS:
            size = known = self.size - 0.25
        elif late < SOON_SECONDS and self.size < known:
            size = self.size + 1.0
        else:
            size = self.size + 1.0 / self.size
        size = min(max(size, 1.0), float(self.most))
        alone = (*self._alone, seconds) if size < 2.0 else ()
        if len(alone) >= ALONE:
            quickest, known, alone = min(*alone, LONGEST_BASE), float("inf"), ()
        return replace(self, size=size, quickest=quickest, _known=known, _alone=alone)

    def takes(self, under_way: int) -> bool:
        """Whether one more may go."""
        return under_way < int(self.size)
