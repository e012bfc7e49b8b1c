"""The recovery ladder: what to do next for a stream's video to arrive. Pure.

From the cheapest to the dearest: ask the API whether the stream lives (KEEPALIVE), begin anew in the same room (REJOIN:
frames after 0.44 s, and no memory), join a new Room with the newest token (NEW_ROOM: 0.17 s, and 0.5 MB that the
library
keeps; livekit-notes.md), make a new stream. A result that came after the last step is the proof that it was enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from overshootd.backoff import Backoff
from overshootd.contracts import LeaseNow
from overshootd.status import Rung

STABLE_SECONDS = 10.0
"""Video that arrived so long proves that joining works: the next failure starts the backoff anew."""

JOIN = Backoff(base=0.25, cap=2.0)
"""Between joins that fail while the API says that the stream lives: a room server that restarts is met within 3 s."""

JOINS, JOIN_SECONDS = 3, 60.0
"""So many joins failed in a row, and so long: the room is given up, and the stream with it."""

SILENCE = 10.0
IDLE_SECONDS = 10.0
"""The API calls a stream idle some seconds after its last frame: one that began anew just now has not been seen yet."""


class Sign(StrEnum):
    """What says that something is wrong."""

    HINT = "hint"  # the kernel: the path is another
    FAILURE = "failure"  # the room: frames are not answered for, or the last step failed
    DOUBT = "doubt"  # the results: all seems well, and none comes


@dataclass(frozen=True, slots=True)
class Ladder:
    """`rung`: the highest tried since the last proof. `failed`: joins that failed in a row. `since`: when the trouble
    began, monotonic seconds. `doubts`: how often in a row results stayed away."""

    rung: Rung = Rung.STEADY
    failed: int = 0
    since: float | None = None
    doubts: int = 0


def climb(ladder: Ladder, sign: Sign, *, connected: bool, now: float) -> Ladder:
    """The ladder with its next rung, which is to be tried now. `connected`: the Room says that it is.

    Every trouble without a hint climbs, so that NEW_STREAM is reached after a bounded number of steps; a hint does not,
    for it is no failure of the last step.
    """
    anew = Rung.REJOIN if connected else Rung.NEW_ROOM
    failed = ladder.failed + (sign is Sign.FAILURE and ladder.rung is Rung.NEW_ROOM)
    doubts = ladder.doubts + (sign is Sign.DOUBT)
    since = now if ladder.since is None else ladder.since
    match sign, ladder.rung:
        case Sign.HINT, _:
            rung = anew
        case Sign.DOUBT, Rung.STEADY:
            rung = Rung.KEEPALIVE
        case _, Rung.STEADY | Rung.KEEPALIVE:
            rung = anew
        case _, Rung.REJOIN:
            rung = Rung.NEW_ROOM
        case Sign.FAILURE, Rung.NEW_ROOM if failed < JOINS or now - since < JOIN_SECONDS:
            rung = Rung.NEW_ROOM
        case _:
            rung = Rung.NEW_STREAM
    return Ladder(rung, failed, since, doubts)


def proved(ladder: Ladder, *, arrived: float) -> Ladder:
    """After a result: what was done was enough. `arrived`: seconds for which frames have been answered for."""
    return Ladder(failed=0 if arrived >= STABLE_SECONDS else ladder.failed)


def doubt(ladder: Ladder, lease: LeaseNow, *, began: float, result: float, period: float, now: float) -> str | None:
    """Why the stream is not believed although its frames are answered for, or None.

    Monotonic seconds: `began`, when the last step was done; `result`, when the last result came. `period` is the time
    from one result to the next. The patience doubles with every doubt: a server that is slow is not left for another.
    """
    if lease.state == "idle" and lease.sent - began >= IDLE_SECONDS:
        return "the API sees no frames"
    patience = max(SILENCE, 3.0 * period) * 2.0 ** min(ladder.doubts, 10)
    if now - max(began, result) >= patience:
        return f"no result for {patience:g} s"
    return None
