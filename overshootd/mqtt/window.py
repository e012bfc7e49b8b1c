"""How many publications of a backlog may be under way: as many as leave a live one its place on the link. Pure.

As TCP Vegas and LEDBAT (RFC 6817) do, it goes by how long acknowledgements take: what waits in the buffers between us
and the broker delays everybody, and is seen in nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SLOW_SECONDS = 0.3
"""An acknowledgement that takes longer has waited behind our own. A live result then waits as long, and travels once
more: it has a second for both."""

QUICK_SECONDS = SLOW_SECONDS / 4


@dataclass(frozen=True, slots=True)
class Window:
    """`size` publications at a time, from 1 to `most`."""

    most: int
    size: float = 1.0

    def acknowledged(self, seconds: float) -> Window:
        """After one that took so long: doubled in a round trip while all is quick, halved in one when it is slow."""
        if seconds > SLOW_SECONDS:
            size = self.size - 0.5
        elif seconds < QUICK_SECONDS:
            size = self.size + 1.0
        else:
            size = self.size + 1.0 / self.size
        return replace(self, size=min(max(size, 1.0), float(self.most)))

    def takes(self, under_way: int) -> bool:
        """Whether one more may go."""
        return under_way < int(self.size)
