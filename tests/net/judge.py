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


def told(life: Life, now: float) -> str:
    """One line of it, for whoever looks for the reason of a failure; seconds before now."""
    ended = "alive" if life.ended is None else f"ended {now - life.ended:.1f} s ago ({life.end_reason})"
    last = [f"{now - times[-1]:.1f}" if times else "never" for times in (life.frames, life.results)]
    gaps = [f"{at - now:.1f}: {gap:.1f} s" for at, gap in _gaps(life.frames)]
    return (
        f"{life.stream_id}: created {now - life.created:.1f} s ago, {ended}; last frame {last[0]}, last result sent "
        f"{last[1]}; without a frame at {', '.join(gaps) or 'no time'}"
    )


def _gaps(times: Sequence[float]) -> list[tuple[float, float]]:
    """When nothing came for a second or more: from when, and how long."""
    return [(before, after - before) for before, after in pairwise(times) if after - before >= 1.0]
