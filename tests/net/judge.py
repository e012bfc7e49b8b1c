"""What the simulator's ledger says of an ordeal. Pure; times are monotonic seconds, the same in all our processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True, slots=True)
class Life:
    """One stream at the API: billed from `created` to `ended`, None while it lives; and what came of it and went."""

    stream_id: str
    created: float
    ended: float | None
    end_reason: str | None
    frames: Sequence[float]
    results: Sequence[float]


def lives(arrivals: Mapping[str, Any]) -> list[Life]:
    """The streams of an answer of `GET /arrivals`, oldest first."""
    found = [Life(stream_id, **life) for stream_id, life in arrivals["streams"].items()]
    return sorted(found, key=lambda life: life.created)


def longest_gap(times: Iterable[float], since: float, until: float) -> float:
    """The longest time between two of them from `since` to `until`, both of which count as one."""
    inside = sorted(at for at in times if since <= at <= until)
    return max(after - before for before, after in pairwise([since, *inside, until]))


def most_at_a_time(streams: Sequence[Life]) -> int:
    """How many streams were billed at the same moment, at most. One that begins as another ends is not beside it."""
    events = [(life.created, 1) for life in streams] + [(life.ended, -1) for life in streams if life.ended is not None]
    most = now = 0
    for _, change in sorted(events):
        now += change
        most = max(most, now)
    return most
