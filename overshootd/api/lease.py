"""When to renew a stream's lease, and until when it surely lives: plain functions of the last response."""

from __future__ import annotations

from dataclasses import dataclass

SHORTEST_TTL, LONGEST_TTL = 6.0, 300.0
"""Sources name 30, 45 and 300 s (api/README.md, v0.2 point 3); what is said beyond is taken as the nearest of these."""

LONGEST_INTERVAL = 20.0
"""v0.2 resumes inference after a deploy at the next keepalive, and asks for one every 10 to 20 s (api/README.md)."""

UNKNOWN_TTL = 30.0
"""The shortest that any source names: what is assumed while `lease` is null (api/README.md, v0.2 point 3)."""


@dataclass(frozen=True, slots=True)
class Lease:
    """`ttl` in seconds as the last response said, or None; `sent` the monotonic time when that request was sent.

    Counting from the sending, not the answer, errs on the safe side: the server started its clock later.
    """

    ttl: float | None
    sent: float

    @property
    def _ttl(self) -> float:
        return min(max(self.ttl or UNKNOWN_TTL, SHORTEST_TTL), LONGEST_TTL)

    @property
    def due(self) -> float:
        """When the next keepalive is sent: a third of the TTL leaves room for two more tries."""
        return self.sent + min(self._ttl / 3, LONGEST_INTERVAL)

    @property
    def timeout(self) -> float:
        """Seconds that one keepalive may take: well under the lease, so that a lost packet is not a lost stream."""
        return min(self._ttl / 5, 5.0)

    @property
    def longest_delay(self) -> float:
        """The cap of the backoff between failing keepalives: several must fit into what is left of the lease."""
        return self._ttl / 10

    @property
    def until(self) -> float | None:
        """Until when the stream surely lives; None while no TTL is known."""
        return None if self.ttl is None else self.sent + self._ttl

    def expired(self, now: float) -> bool:
        """Whether the server has surely dropped the stream. Never, while no TTL is known: then only a 404 tells."""
        return self.until is not None and now >= self.until
