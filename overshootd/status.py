"""What the streams are doing, and the one line of it that `systemctl status` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

LONGEST_LINE = 240


class State(StrEnum):
    STARTING = "starting"
    LIVE = "live"  # results arrive
    WAITING = "waiting"  # failed; the next attempt is under way or due
    REFUSED = "refused"  # as waiting, but a person must act: key, credits
    STOPPED = "stopped"  # needs another configuration
    ENDED = "ended"  # the camera came to its end as it should
    BROKEN = "broken"  # its configuration did not stand
    DISABLED = "disabled"


@dataclass(slots=True)
class StreamState:
    """One stream: its state, why it is not live, and its results so far. `last_result` is seconds since the epoch."""

    state: State = State.STARTING
    why: str = ""
    results: int = 0
    last_result: float | None = None


def status_line(streams: Mapping[str, StreamState], cameras: Mapping[str, str]) -> str:
    """How many streams are in which state, and why those are that are not live; `cameras` has what ails each. Pure."""
    if not streams:
        return "idle: no stream is configured"
    counts = Counter(stream.state for stream in streams.values())
    summary = ", ".join(f"{counts[state]} {state}" for state in State if state in counts)
    troubles = [f"camera {name}: {why}" for name, why in cameras.items()]
    troubles += [f"{name}: {stream.why}" for name, stream in streams.items() if stream.why]
    line = " ".join("; ".join([summary, *troubles]).split())  # an error's text may have several lines
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"
