"""What the streams are doing, and the one line of it that `systemctl status` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LONGEST_LINE = 240


class State(StrEnum):
    STARTING = "starting"
    LIVE = "live"  # results arrive
    WAITING = "waiting"  # failed; the next attempt is under way or due
    REFUSED = "refused"  # as waiting, but a person must act: key, credits
    PAUSED = "paused"  # somebody asked for that: no camera is open, nothing is billed
    STOPPED = "stopped"  # needs another configuration
    ENDED = "ended"  # the camera came to its end as it should
    BROKEN = "broken"  # its configuration did not stand
    DISABLED = "disabled"


AT_WORK = frozenset({State.STARTING, State.LIVE, State.WAITING, State.REFUSED})
"""States of a stream for whose video something is being done, or may be."""


class Rung(StrEnum):
    """What is being done for a stream's video to arrive; the ladder is climbed from top to bottom."""

    STEADY = "steady"  # nothing: it arrives
    KEEPALIVE = "keepalive"  # the API is asked whether the stream lives, until it answers
    REJOIN = "rejoin"  # anew in the same room
    NEW_ROOM = "new room"  # joining with the newest token
    NEW_STREAM = "new stream"  # nothing of the old one is left


@dataclass(frozen=True, slots=True)
class Switch:
    """The last time that video had to find a new way: `at` in seconds since the epoch, `seconds` that it took until
    frames were answered for again, the `rung` that it took, and why."""

    at: float
    rung: Rung
    seconds: float
    why: str


@dataclass(slots=True)
class LastMinute:
    """How many there were in the last 60 s, by the second; cheap enough for 120 a second. Times are monotonic."""

    _counts: list[int] = field(default_factory=lambda: [0] * 60)
    _newest: int = -60

    def add(self, now: float) -> None:
        self._forget(int(now))
        self._counts[int(now) % 60] += 1

    def count(self, now: float) -> int:
        self._forget(int(now))
        return sum(self._counts)

    def _forget(self, second: int) -> None:
        for passed in range(max(self._newest + 1, second - 59), second + 1):
            self._counts[passed % 60] = 0
        self._newest = max(self._newest, second)


@dataclass(frozen=True, slots=True)
class CameraNow:
    """A camera: the word for its state (contracts.CameraState), and why when it does not work."""

    state: str
    why: str = ""


@dataclass(slots=True)
class BrokerState:
    """The connection to a broker: since when it is there or not (monotonic seconds; None: never tried), why it is not,
    and how many there were."""

    connected: bool = False
    why: str = ""
    since: float | None = None
    connections: int = 0


@dataclass(frozen=True, slots=True)
class SinkNow:
    """One sink of a stream: how many records wait for it, why it does not take them (empty while it does), and how many
    it refused for good since the start."""

    name: str
    waiting: int
    why: str = ""
    passed_over: int = 0


@dataclass(frozen=True, slots=True)
class SpoolNow:
    """What waits on the disk: its bytes and the most that they may be, when the oldest came (seconds since the epoch;
    None: nothing waits, or the clock was not trusted), how many records were ever dropped to make room, and why nothing
    can be stored (empty while it can)."""

    bytes: int
    max_bytes: int
    oldest_at: float | None = None
    dropped: int = 0
    trouble: str = ""


@dataclass(slots=True)
class PathState:
    """The ways to our peers: how often one of them became another, when last (monotonic seconds), and which."""

    changes: int = 0
    changed_at: float | None = None
    what: str = ""

    def changed(self, what: str, now: float) -> None:
        self.changes += 1
        self.changed_at, self.what = now, what


@dataclass(slots=True)
class StreamState:
    """One stream: its state, why it is not live, and its results so far. `last_result` is seconds since the epoch.

    `keepalive_sent`, `lease_until` and `token_at` are monotonic seconds, `cents_left` US cents that its key has left,
    None while there are none. `notes` are sentences about what will need somebody: a token of the user's own that is
    about to expire.
    """

    state: State = State.STARTING
    why: str = ""
    results: int = 0
    last_result: float | None = None
    transport: str = ""
    stream_id: str = ""
    rung: Rung = Rung.STEADY
    keepalive_sent: float | None = None
    lease_until: float | None = None
    token_at: float | None = None
    cents_left: float | None = None
    switch: Switch | None = None
    frames_minute: LastMinute = field(default_factory=LastMinute)
    results_minute: LastMinute = field(default_factory=LastMinute)
    notes: tuple[str, ...] = ()


def status_line(streams: Mapping[str, StreamState], cameras: Mapping[str, str]) -> str:
    """How many streams are in which state, what is being done for those whose video does not arrive, and why; `cameras`
    has what ails each. Pure."""
    if not streams:
        return "idle: no stream is configured"
    counts = Counter(stream.state for stream in streams.values())
    summary = ", ".join(f"{counts[state]} {state}" for state in State if state in counts)
    troubles = [f"camera {name}: {why}" for name, why in cameras.items()]
    troubles += [f"{name}: {trouble}" for name, stream in streams.items() if (trouble := _trouble(stream))]
    line = " ".join("; ".join([summary, *troubles]).split())  # an error's text may have several lines
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"


def _trouble(stream: StreamState) -> str:
    """What a stream has to tell besides its state; nothing when all is well."""
    rung = stream.rung if stream.rung is not Rung.STEADY and stream.state in AT_WORK else ""
    return ": ".join(filter(None, (rung, stream.why)))
