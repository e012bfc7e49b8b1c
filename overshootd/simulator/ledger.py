"""What the simulator counts: money, results due and sent, frames, and what publishers did wrong. Pure; time comes in.

Times are seconds; `now` is monotonic. Money is in US cents.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

CENTS_PER_SECOND = 0.02
INITIAL_CENTS = 10_000.0
KEPT_AGES = 10_000
KEPT_ARRIVALS = 10_000
"""Of a stream, the newest: eleven minutes at 15 frames a second."""

KEPT_VIOLATIONS = 1_000
KEPT_STREAMS = 1_000

_SUMMED = ("frames_arrived", "due", "inferred", "failed", "sent", "unheard", "idle", "paused", "skipped", "repeated")


@dataclass(slots=True)
class Account:
    """The credits of one API key."""

    cents: float = INITIAL_CENTS


@dataclass(frozen=True, slots=True)
class Charge:
    """One bill. `paid` is False when the account could not pay all of it, and is empty."""

    seconds: float
    cents: float
    paid: bool


class Told(NamedTuple):
    """A result that was sent: its number among those of its stream, the `id` in it, and when."""

    number: int
    id: str
    at: float


@dataclass(slots=True)
class StreamEntry:
    """The counters of one stream.

    Every scheduled inference since the first frame is `due`. It ends as `inferred` or `failed` (either of them `sent`,
    or `unheard` when no results socket was open), `idle` (no fresh frame), `paused` (after a deploy) or `skipped` (the
    one before took too long). `repeated` counts samples whose newest frame was sampled before already; `ages_ms` holds
    the newest frame's age at each sampling.
    """

    stream_id: str
    source: str
    mode: str
    account: Account
    created: float
    charged_until: float
    seconds_charged: float = 0.0
    cost_cents: float = 0.0
    keepalives: int = 0
    frames_arrived: int = 0
    due: int = 0
    inferred: int = 0
    sent: int = 0
    unheard: int = 0
    failed: int = 0
    idle: int = 0
    paused: int = 0
    skipped: int = 0
    repeated: int = 0
    ages_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_AGES))
    violations: int = 0
    end_reason: str | None = None
    ended: float | None = None
    frames: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_ARRIVALS))
    """When frames arrived."""
    told: deque[Told] = field(default_factory=lambda: deque(maxlen=KEPT_ARRIVALS))
    """The results that were sent."""

    def frame(self, now: float) -> None:
        self.frames_arrived += 1
        self.frames.append(now)

    def result_sent(self, result_id: str, now: float) -> None:
        self.sent += 1
        self.told.append(Told(self.sent, result_id, now))

    def end(self, reason: str, now: float) -> None:
        """Bill the rest."""
        self.charge(now)
        self.end_reason, self.ended = reason, now

    def charge(self, now: float) -> Charge:
        """Bill the time since the last charge, as far as the account's credits reach."""
        seconds = max(0.0, now - self.charged_until)
        cents = min(seconds * CENTS_PER_SECOND, self.account.cents)
        self.charged_until = now
        self.seconds_charged += seconds
        self.cost_cents += cents
        self.account.cents -= cents
        return Charge(seconds, cents, paid=self.account.cents > 0)

    def to_json(self, now: float) -> dict[str, Any]:
        return {
            "source": self.source,
            "mode": self.mode,
            "end_reason": self.end_reason,
            **{name: getattr(self, name) for name in _SUMMED},
            "keepalives": self.keepalives,
            "violations": self.violations,
            "seconds_charged": round(self.seconds_charged, 3),
            "cost_cents": round(self.cost_cents, 4),
            "age_seconds": round(now - self.created, 3),
            "age_p50_ms": percentile(self.ages_ms, 50),
            "age_p95_ms": percentile(self.ages_ms, 95),
            "ages_ms": [round(age, 1) for age in self.ages_ms],
        }

    def arrivals(self, since: float) -> dict[str, Any]:
        """From when to when it lived, and what came and went since then."""
        return {
            "created": self.created,
            "ended": self.ended,
            "end_reason": self.end_reason,
            "frames": [at for at in self.frames if at >= since],
            "results": [told.at for told in self.told if told.at >= since],
        }


class Ledger:
    """All accounts, streams (the newest KEPT_STREAMS), requests and violations of one run."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.accounts = {key: Account() for key in keys}
        self.streams: dict[str, StreamEntry] = {}
        self.requests: Counter[str] = Counter()
        self.violations: deque[str] = deque(maxlen=KEPT_VIOLATIONS)
        self.violation_count = 0

    def open(self, stream_id: str, key: str, source: str, mode: str, now: float) -> StreamEntry:
        """Start to bill a stream. The oldest ended entry makes room when there are too many."""
        if len(self.streams) >= KEPT_STREAMS:
            ended = (old for old, entry in self.streams.items() if entry.end_reason is not None)
            self.streams.pop(next(ended, next(iter(self.streams))))
        entry = StreamEntry(stream_id, source, mode, self.accounts[key], created=now, charged_until=now)
        self.streams[stream_id] = entry
        return entry

    def violated(self, what: str, entry: StreamEntry | None = None) -> None:
        self.violation_count += 1
        self.violations.append(f"{entry.stream_id}: {what}" if entry else what)
        if entry:
            entry.violations += 1

    def set_credits(self, cents: float) -> None:
        for account in self.accounts.values():
            account.cents = cents

    def arrivals(self, now: float, since: float) -> dict[str, Any]:
        """All streams' frames and results since then. The clock is the machine's, so other processes may compare."""
        return {"now": now, "streams": {entry.stream_id: entry.arrivals(since) for entry in self.streams.values()}}

    def told(self, now: float) -> dict[str, Any]:
        """What every results socket of every stream was sent, for whoever looks for all of it elsewhere."""
        streams = {entry.stream_id: [told._asdict() for told in entry.told] for entry in self.streams.values()}
        return {"now": now, "streams": streams}

    def to_json(self, now: float) -> dict[str, Any]:
        streams = list(self.streams.values())
        ages = [age for entry in streams for age in entry.ages_ms]
        return {
            "accounts": [{"credits_remaining_cents": round(account.cents, 4)} for account in self.accounts.values()],
            "requests": dict(self.requests),
            "streams": {entry.stream_id: entry.to_json(now) for entry in streams},
            "totals": {
                "streams": len(streams),
                **{name: sum(getattr(entry, name) for entry in streams) for name in _SUMMED},
                "seconds_charged": round(sum(entry.seconds_charged for entry in streams), 3),
                "cost_cents": round(sum(entry.cost_cents for entry in streams), 4),
                "age_p50_ms": percentile(ages, 50),
                "age_p95_ms": percentile(ages, 95),
                "violations": self.violation_count,
            },
            "violations": list(self.violations),
        }


def percentile(values: Iterable[float], percent: float) -> float | None:
    """Nearest-rank percentile, rounded to 0.1; None of nothing."""
    ordered: Sequence[float] = sorted(values)
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)], 1)
