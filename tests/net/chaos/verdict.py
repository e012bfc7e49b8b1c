"""What must be true of a run, from the simulator's ledger. Pure; times are monotonic seconds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.net.chaos.kinds import Death
from tests.net.judge import Life

DELETED_WITHIN = 4.5
"""Seconds for which an old stream may live beside its successor: a DELETE takes 4 s at most."""

SLACK = 1.0
"""Seconds between a keepalive's arrival and its answer, and what the simulator is late."""


@dataclass(frozen=True, slots=True)
class Window:
    """From then to then."""

    since: float
    until: float

    @property
    def seconds(self) -> float:
        return max(0.0, self.until - self.since)


def side_by_side(streams: Sequence[Life], most: int, now: float) -> Iterator[Window]:
    """When more than `most` of them were billed at once, longer than a DELETE takes."""
    events = sorted([(one.created, 1) for one in streams] + [(one.ended or now, -1) for one in streams])
    living, since = 0, 0.0
    for at, change in events:
        before, living = living, living + change
        if before == most and living > most:
            since = at
        elif before > most and living == most and at - since > DELETED_WITHIN:
            yield Window(since, at)


def ghosts(streams: Iterable[Life], lease: float) -> list[Life]:
    """Streams to which nobody ever published, for one lease: somebody asked for them, and never learned their ids."""
    return [
        one for one in streams if not one.frames and one.ended is not None and one.ended - one.created <= lease + SLACK
    ]


def billed_too_long(streams: Iterable[Life], deaths: Iterable[Death], lease: float, now: float) -> Iterator[str]:
    """Streams that outlived the daemon by more than their lease, and that no later one took up."""
    for death in deaths:
        for one in streams:
            ended = one.ended or now
            if one.created < death.since < ended and not _any(one.frames, death.until, ended):
                over = ended - death.since - lease
                if over > SLACK:
                    yield f"{one.stream_id} was billed for {over:.1f} s more than its lease after the daemon died"


def share(received: Sequence[float], windows: Iterable[Window], interval: float) -> float:
    """Results received per result due in these windows: one each `interval` seconds. `received` in order.

    What came late, in the bunch that a path let go of, does not make up for what did not come.
    """
    got = due = 0
    for window in windows:
        wanted = int(window.seconds / interval)
        due += wanted
        got += min(wanted, bisect_left(received, window.until) - bisect_left(received, window.since))
    return got / due if due else 1.0


def _any(times: Sequence[float], since: float, until: float) -> bool:
    return any(since <= at <= until for at in times)
