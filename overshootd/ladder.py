"""The recovery ladder: what to do next for a stream's video to arrive. Pure.

From the cheapest to the dearest: ask the API whether the stream lives (KEEPALIVE), begin anew in the same room (REJOIN:
frames after 0.44 s, and no memory), join a new Room with the newest token (NEW_ROOM: 0.17 s, and 0.5 MB that the
library keeps; livekit-notes.md), make a new stream. A result that came after the last step is the proof that it was
enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from overshootd.backoff import Backoff, Uniform
from overshootd.contracts import LeaseNow
from overshootd.status import Rung

STABLE_SECONDS = 10.0
"""A room in which frames were answered for so long held: what fails then is a new trouble, met without a pause."""

JOIN = Backoff(base=0.25, cap=2.0)
"""Between joins that fail while the API says that the stream lives: a room server that restarts is met within 3 s."""

HOLD = Backoff(base=0.5, cap=30.0)
"""Before the next room, where rooms are joined and do not hold: each costs memory, and nothing says that it ends."""

JOINS, JOIN_SECONDS, FIRST_SECONDS = 3, 60.0, 20.0
"""So many rooms did not help, and for so long: the stream is given up. One that never had a room is billed for nothing,
and so it is given up sooner."""

FIRST_SILENCE, SILENCE = 5.0, 10.0
IDLE_SECONDS = 10.0
"""The API calls a stream idle some seconds after its last frame: one that began anew just now has not been seen yet."""


class Sign(StrEnum):
    """What says that something is wrong."""

    HINT = "hint"  # the kernel: the path is another
    FAILURE = "failure"  # the room: frames are not answered for, or the last step failed
    DOUBT = "doubt"  # the results: all seems well, and none comes


@dataclass(frozen=True, slots=True)
class Ladder:
    """`rung`: the highest tried since the last proof. `failed`: rooms in a row that could not be joined or did not
    hold. `since`: when the trouble began, monotonic seconds. `doubts`: how often in a row results stayed away."""

    rung: Rung = Rung.STEADY
    failed: int = 0
    since: float | None = None
    doubts: int = 0


def climb(ladder: Ladder, sign: Sign, *, connected: bool, held: float | None, ever: bool, now: float) -> Ladder:
    """The ladder with its next rung, which is to be tried now.

    `connected`: the Room says that it is. `held`: seconds for which frames have been answered for in this room, None
    where it was not joined. `ever`: there was a room in which they were. Failures climb by what was tried last, doubts
    by how many there were: what costs a room nothing may bring results all the same. So NEW_STREAM is reached after a
    bounded number of steps. A hint does not climb, for it is no failure of the last step.
    """
    if held is not None and held >= STABLE_SECONDS:
        ladder = replace(ladder, failed=0, since=ladder.since if sign is Sign.DOUBT else None)
    since = now if ladder.since is None else ladder.since
    anew = Rung.REJOIN if connected else Rung.NEW_ROOM
    long_enough = now - since >= (JOIN_SECONDS if ever else FIRST_SECONDS)
    match sign:
        case Sign.HINT:
            rung = anew
        case Sign.DOUBT:
            rung = (Rung.KEEPALIVE, anew, Rung.NEW_ROOM, Rung.NEW_STREAM)[min(ladder.doubts, 3)]
        case Sign.FAILURE:
            rung = _after_failure(ladder, anew, long_enough=long_enough)
    failed = ladder.failed + (sign is Sign.FAILURE and rung is not Rung.REJOIN)
    return Ladder(rung, failed, since, ladder.doubts + (sign is Sign.DOUBT))


def _after_failure(ladder: Ladder, anew: Rung, *, long_enough: bool) -> Rung:
    if ladder.rung is Rung.NEW_STREAM or (ladder.failed >= JOINS and long_enough):
        return Rung.NEW_STREAM
    return anew if ladder.rung in (Rung.STEADY, Rung.KEEPALIVE) else Rung.NEW_ROOM


def proved(ladder: Ladder, *, held: float) -> Ladder:
    """After a result: what was done was enough. `held` as for `climb`."""
    return Ladder(failed=0 if held >= STABLE_SECONDS else ladder.failed)


def pause(ladder: Ladder, *, joined: bool, uniform: Uniform) -> float:
    """Seconds until the next room is tried; none before the first. `joined`: the one before could be."""
    if ladder.failed < 2:
        return 0.0
    return (HOLD if joined else JOIN).delay(ladder.failed - 2, uniform)


def doubt(ladder: Ladder, lease: LeaseNow, *, began: float, result: float, period: float, now: float) -> str | None:
    """Why the stream is not believed although its frames are answered for, or None.

    Monotonic seconds: `began`, when the last step was done; `result`, when the last result came. `period` is the time
    from one result to the next. The first doubt costs a keepalive and a fresh socket alone, so it comes soon; then the
    patience doubles with every doubt, for a server that is slow is not left for another.
    """
    if lease.state == "idle" and lease.sent - max(began, result) >= IDLE_SECONDS:
        return "the API sees no frames"
    patience = max(FIRST_SILENCE if ladder.doubts == 0 else SILENCE, 3.0 * period) * 2.0 ** max(ladder.doubts - 1, 0)
    if now - max(began, result) >= patience:
        return f"no result for {patience:g} s"
    return None
