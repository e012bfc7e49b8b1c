"""What a change of the ways to our peers is, what it means, and how often it may start something. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

QUIET_SECONDS, LONGEST_SECONDS = 0.1, 0.5
"""One change is many messages (link, addresses, a dozen routes). It is looked at once the kernel has been quiet so
long, or after so long at the latest: some machines are never quiet."""

HINTS, HINT_SECONDS = 6, 15.0
"""A change may start recovery so often at once, and once in so many seconds on an average. Uplinks that flap every 20 s
are followed: a new join takes half a second, and a room alone notices after 10.7 s (livekit-notes.md). Those that flap
faster would restart each recovery before its end."""


ROUNDING = 1e-6


class Peer(NamedTuple):
    """A host that we talk to, as the user knows it, and one of its addresses."""

    host: str
    address: str


@dataclass(frozen=True, slots=True)
class Way:
    """How packets to an address leave: the interface, from which source address, through which router (None: the
    address is a neighbour's)."""

    index: int
    interface: str = field(compare=False)
    source: str
    gateway: str | None = None


Ways = Mapping[Peer, Way | None]
"""None: there is no route, it has no source address, or its link is down."""


@dataclass(frozen=True, slots=True)
class Change:
    """What has changed, in a sentence, and whether that is a reason to start recovery."""

    text: str
    start: bool


@dataclass(frozen=True, slots=True)
class _Turn:
    """What happened to the ways to one host; the host's name goes between the words."""

    before: str
    after: str
    start: bool = True


def compare(before: Ways, after: Ways) -> Change | None:
    """What has changed of the ways to the peers that are in both; None where that is nothing, or nothing that matters.

    It matters that a way which was there is another, or there no more, or that a host had none and has one. A host that
    gets a second one, as when IPv6 arrives, loses nothing by staying where it is.
    """
    turns: dict[_Turn, list[str]] = {}
    for host in dict.fromkeys(peer.host for peer in before if peer in after):
        peers = [peer for peer in before if peer.host == host and peer in after]
        if turn := _turn([before[peer] for peer in peers], [after[peer] for peer in peers]):
            turns.setdefault(turn, []).append(host)
    if not turns:
        return None
    sentences = [f"{turn.before} {_listed(hosts)} {turn.after}" for turn, hosts in turns.items()]
    return Change("; ".join(sentences), any(turn.start for turn in turns))


def _turn(before: list[Way | None], after: list[Way | None]) -> _Turn | None:
    """Of one host: its ways, address by address."""
    had = next((way for way in before if way), None)
    has = next((way for way in after if way), None)
    if has is None:
        return _Turn("there is no route to", f"any more (was over {had.interface})", start=False) if had else None
    if had is None:
        return _Turn("there is a route to", f"again, over {has.interface}, source {has.source}")
    for was, now in zip(before, after, strict=True):
        if was and was != now:
            return _Turn("the route to", _words(was, now or has))
    return None


def _listed(hosts: list[str]) -> str:
    return " and ".join([", ".join(hosts[:-1]), hosts[-1]]) if hosts[1:] else hosts[0]


def _words(was: Way, now: Way) -> str:
    where = f"is now over {now.interface}"
    if was.index != now.index:
        return f"{where}, source {now.source} (was {was.interface})"
    if was.source != now.source:
        return f"{where}, source {now.source} (was {was.source})"
    return f"{where}, through {now.gateway or 'no router'} (was {was.gateway or 'none'})"


def looked_at(first: float, last: float) -> float:
    """When to look at what has changed: monotonic seconds, from the first and the last message's."""
    return min(first + LONGEST_SECONDS, last + QUIET_SECONDS)


class Budget:
    """How often changes may start recovery: `size` at once, and one in `refill` seconds on an average (a token bucket).
    Times are monotonic seconds."""

    def __init__(self, size: int = HINTS, refill: float = HINT_SECONDS) -> None:
        self._refill, self._ahead = refill, (size - 1) * refill
        self._paid = float("-inf")
        """Until when what was taken is paid for, at one in `refill` seconds."""

    def wait(self, now: float) -> float:
        """Seconds until one may; 0 when it may now."""
        wait = self._paid - self._ahead - now
        return wait if wait > ROUNDING else 0.0

    def take(self, now: float) -> bool:
        """Whether one may now; then it has."""
        if self.wait(now) > 0:
            return False
        self._paid = max(self._paid, now) + self._refill
        return True

    def full(self, now: float) -> bool:
        """It has been quiet for so long that nothing of it is used."""
        return now >= self._paid
