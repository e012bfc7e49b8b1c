"""Delays between attempts: pure, so that they can be proved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Uniform = Callable[[float, float], float]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Full-jitter exponential backoff: attempt n waits uniform(0, min(cap, base * 2**n)) seconds.

    `base`, `cap` and `floor` (no wait is shorter) are seconds.
    Source: "Exponential Backoff And Jitter", the AWS architecture blog.
    """

    base: float = 0.5
    cap: float = 30.0
    floor: float = 0.0

    def ceiling(self, attempt: int) -> float:
        """The longest wait in seconds before attempt number `attempt` + 1 (`attempt` counts failures from 0)."""
        # The exponent is clamped because 2.0**1024 overflows, and a daemon that runs for years gets there.
        return min(self.cap, self.base * 2.0 ** min(attempt, 60))

    def delay(self, attempt: int, uniform: Uniform, retry_after: float | None = None) -> float:
        """Seconds to wait; never less than the server's `retry_after`."""
        return max(uniform(0.0, self.ceiling(attempt)), self.floor, retry_after or 0.0)


NETWORK = Backoff(base=0.5, cap=30.0)
"""For what heals by itself. The cap bounds what an outage adds to its own length."""

REFUSED = Backoff(base=120.0, cap=900.0, floor=30.0)
"""For what a person must mend: a bad key or no credits. Asking faster mends nothing."""

UNREACHABLE = Backoff(base=0.5, cap=5.0)
"""While nobody answers at all: a packet each costs nothing, and a path that comes back without a word from the kernel
shall be found within seconds."""

PORTAL = Backoff(base=10.0, cap=60.0, floor=5.0)
"""While a captive portal answers in the API's place: somebody logs in sooner or later, and nobody else is asked."""
