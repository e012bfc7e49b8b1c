"""What `overshootd status --json` prints, from what the streams and the daemon know (docs/commands.md). Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from overshootd.board import Board
from overshootd.contracts import Count
from overshootd.control.wire import Json
from overshootd.status import BrokerState, CameraNow, PathState, SinkNow, SpoolNow, StreamState, Switch

SCHEMA = 1
"""Rises when a key goes or changes its meaning. New ones may come at any time."""


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """What the daemon knows of itself. `started` in monotonic seconds, memory in MB of 2**20 bytes; a limit of None is
    none. `today`, `sinks` and `paused`: what each stream has today, to whom its records go (also of a stream that is
    configured no more), and who is paused."""

    version: str
    pid: int
    device: str
    state_dir: str
    started: float
    clock_synced: bool
    memory_mb: float
    memory_limit_mb: float | None = None
    paths: PathState = field(default_factory=PathState)
    cameras: Mapping[str, CameraNow] = field(default_factory=dict)
    brokers: Mapping[str, BrokerState] = field(default_factory=dict)
    spool: SpoolNow | None = None
    board: Board = field(default_factory=Board)
    today: Mapping[str, Count] = field(default_factory=dict)
    sinks: Mapping[str, Sequence[SinkNow]] = field(default_factory=dict)
    paused: Collection[str] = ()


def report(states: Mapping[str, StreamState], facts: DaemonFacts, *, now: float, wall: float) -> Json:
    """The object; `now` is monotonic, `wall` seconds since the epoch, both of this moment.

    Times are RFC 3339, spans and ages are seconds; what is not known, or is not there, is null.
    """
    return {
        "schema": SCHEMA,
        "at": timestamp(wall),
        "version": facts.version,
        "pid": facts.pid,
        "device": facts.device,
        "state_dir": facts.state_dir,
        "uptime_seconds": _span(now - facts.started),
        "clock_synced": facts.clock_synced,
        "network": {
            "changes": facts.paths.changes,
            "changed_seconds_ago": _age(facts.paths.changed_at, now),
            "what": facts.paths.what,
        },
        "memory": {"used_mb": round(facts.memory_mb, 1), "limit_mb": facts.memory_limit_mb},
        "spool": None if facts.spool is None else _spool(facts.spool),
        "brokers": {name: _broker(broker, now) for name, broker in facts.brokers.items()},
        "board": {
            "temperature_celsius": facts.board.temperature,
            "undervoltage": facts.board.undervoltage,
            "undervoltage_since_boot": facts.board.undervoltage_since_boot,
        },
        "disk_free_bytes": facts.board.disk_free_bytes,
        "credits_remaining_cents": _credits(states),
        "cameras": {name: {"state": camera.state, "why": camera.why} for name, camera in facts.cameras.items()},
        "streams": {name: {**_stream(state, now, wall), **_kept(name, facts)} for name, state in states.items()},
        "removed_streams": {name: {"sinks": _sinks(name, facts)} for name in facts.sinks if name not in states},
    }


def timestamp(seconds: float) -> str:
    """RFC 3339, UTC, milliseconds, as the records have it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _stream(state: StreamState, now: float, wall: float) -> Json:
    last = state.last_result
    return {
        "state": state.state,
        "why": state.why,
        "transport": state.transport,
        "rung": state.rung,
        "stream_id": state.stream_id,
        "keepalive_seconds_ago": _age(state.keepalive_sent, now),
        "lease_seconds_left": None if state.lease_until is None else _span(state.lease_until - now),
        "token_seconds_old": _age(state.token_at, now),
        "last_switch": None if state.switch is None else _switch(state.switch),
        "last_minute": {"frames": state.frames_minute.count(now), "results": state.results_minute.count(now)},
        "results": state.results,
        "last_result_at": None if last is None else timestamp(last),
        # by a clock that may have been set in between
        "last_result_seconds_ago": None if last is None else max(0.0, _span(wall - last)),
        "notes": list(state.notes),
    }


def _kept(name: str, facts: DaemonFacts) -> Json:
    """What is known of a stream, whether it runs or not."""
    count = facts.today.get(name, Count())
    return {
        "paused": name in facts.paused,
        "today": {
            "seconds": round(count.seconds, 1),
            "cents": round(count.cents, 3),
            "bytes_up": count.bytes_up,
            "bytes_down": count.bytes_down,
            "received": count.received,
            "due": round(count.due, 1),
        },
        "sinks": _sinks(name, facts),
    }


def _sinks(name: str, facts: DaemonFacts) -> list[Json]:
    return [
        {"name": sink.name, "waiting": sink.waiting, "why": sink.why, "passed_over": sink.passed_over}
        for sink in facts.sinks.get(name, ())
    ]


def _spool(spool: SpoolNow) -> Json:
    return {
        "bytes": spool.bytes,
        "max_bytes": spool.max_bytes,
        "dropped": spool.dropped,
        "oldest_at": None if spool.oldest_at is None else timestamp(spool.oldest_at),
        "trouble": spool.trouble,
    }


def _broker(broker: BrokerState, now: float) -> Json:
    return {"connected": broker.connected, "why": broker.why, "seconds": _age(broker.since, now)}


def _credits(states: Mapping[str, StreamState]) -> float | None:
    """What is left to the key that has least: keys are not told apart here."""
    return min((state.cents_left for state in states.values() if state.cents_left is not None), default=None)


def _switch(switch: Switch) -> Json:
    return {"at": timestamp(switch.at), "rung": switch.rung, "seconds": _span(switch.seconds), "why": switch.why}


def _age(since: float | None, now: float) -> float | None:
    return None if since is None else _span(now - since)


def _span(seconds: float) -> float:
    return round(seconds, 3)
